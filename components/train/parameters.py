"""What a training can be asked for."""

from dataclasses import asdict, dataclass
from typing import Any

QUERY_TOWERS = ("session_id", "last_item", "mean", "gru", "attention", "gru_attention")
LOSSES = ("in_batch", "sampled", "full", "bpr_max")
OPTIMIZERS = ("adam", "adagrad")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainParameters:
    """Parameters of the `train` step; the names are those of the pipeline.

    Attributes:
        query_tower: one of QUERY_TOWERS.
        embedding_dim: length of query and candidate embeddings.
        num_heads: attention heads of the `attention` tower.
        normalize: cosine similarity instead of the plain dot product.
        max_session_length: newest events of a session that a query tower reads.
        loss: one of LOSSES.
        num_negatives: items drawn a batch, shared by its targets (`sampled`, `bpr_max`).
        sampling_exponent: they are drawn in proportion to count ** sampling_exponent.
        correct_sampling: subtract log q from the logits, q the probability of being a negative.
        session_negatives: the other items of a session are negatives of each of its targets (`sampled`).
        remove_accidental_hits: an in-batch negative that is the target is none; the other losses always mask it.
        num_hard_negatives: of the in-batch negatives only the hardest so many count; 0 for all.
        temperature: divides the scores before the softmax.
        trend_weight: how much of the newest events' popularity is made up for after training, from 0 to 1; above 0
            the embeddings have one coordinate more.
        score_regularization: weight of the score regularisation of `bpr_max`.
        dropout: share of the embedding's and the block's units that are dropped.
        input_dropout: share of the embedding's units that the GRU of the `gru_attention` tower does not read.
        mask_rate: share of a session's items that training replaces by the unknown item, which learns by it.
        optimizer: one of OPTIMIZERS.
        learning_rate: its highest value.
        table_learning_rate: its highest value for the item embeddings; 0 for the same.
        learning_rate_schedule: `constant`, or `cosine` with a linear warm-up.
        warmup_epochs: length of the warm-up.
        batch_size: targets a batch.
        max_epochs: upper bound of passes over the training sessions.
        max_valid_targets: what is ranked after every epoch at most, drawn by whole sessions; 0 for all.
        patience: epochs without a better validation recall before training stops.
        precision: of the numbers inside the query tower, one of PRECISIONS; table, scores and loss are float32.
        jit_compile: compile the query tower's training with XLA, once for each of some 20 shapes of batches.
        refit: train again on train and valid for the number of epochs that was best.
        seed: of everything random.
    """

    query_tower: str = "gru_attention"
    embedding_dim: int = 128
    num_heads: int = 2
    normalize: bool = True
    max_session_length: int = 256
    loss: str = "sampled"
    num_negatives: int = 1536
    sampling_exponent: float = 0.75
    correct_sampling: bool = True
    session_negatives: bool = True
    remove_accidental_hits: bool = True
    num_hard_negatives: int = 0
    temperature: float = 0.08
    trend_weight: float = 0.25
    score_regularization: float = 1.0
    dropout: float = 0.2
    input_dropout: float = 0.5
    mask_rate: float = 0.01
    optimizer: str = "adam"
    learning_rate: float = 0.002
    table_learning_rate: float = 0.015
    learning_rate_schedule: str = "cosine"
    warmup_epochs: float = 0.5
    batch_size: int = 1024
    max_epochs: int = 8
    max_valid_targets: int = 50_000
    patience: int = 2
    precision: str = "float32"
    jit_compile: bool = False
    refit: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        for name, choices in (
            ("query_tower", QUERY_TOWERS),
            ("loss", LOSSES),
            ("optimizer", OPTIMIZERS),
            ("learning_rate_schedule", SCHEDULES),
            ("precision", PRECISIONS),
        ):
            _expect(getattr(self, name) in choices, name, f"one of {', '.join(choices)}", getattr(self, name))
        for name in (
            "embedding_dim", "num_heads", "num_negatives", "batch_size", "max_epochs", "patience"
        ):  # fmt: skip
            _expect(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("temperature", "learning_rate"):
            _expect(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in (
            "num_hard_negatives",
            "seed",
            "warmup_epochs",
            "score_regularization",
            "table_learning_rate",
            "max_valid_targets",
        ):
            _expect(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("dropout", "input_dropout", "mask_rate"):
            _expect(0 <= getattr(self, name) < 1, name, "at least 0 and below 1", getattr(self, name))
        _expect(0 <= self.sampling_exponent <= 1, "sampling_exponent", "from 0 to 1", self.sampling_exponent)
        _expect(0 <= self.trend_weight <= 1, "trend_weight", "from 0 to 1", self.trend_weight)
        _expect(self.max_session_length >= 2, "max_session_length", "at least 2", self.max_session_length)
        if self.query_tower == "attention":
            expected = f"a multiple of num_heads, {self.num_heads}"
            _expect(self.embedding_dim % self.num_heads == 0, "embedding_dim", expected, self.embedding_dim)
        if self.query_tower == "session_id":
            _expect(self.loss == "in_batch", "loss", "in_batch with the session_id tower", self.loss)

    def to_dict(self) -> dict[str, Any]:
        """All parameters by name."""
        return asdict(self)


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise ValueError(f"Expected {name} to be {expected}. Received: {received!r}")
