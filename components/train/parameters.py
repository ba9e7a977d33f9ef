"""What a training can be asked for."""

from dataclasses import asdict, dataclass
from typing import Any

QUERY_TOWERS = ("session_id", "last_item", "mean", "gru", "attention", "gru_attention")
LOSSES = ("in_batch", "sampled", "full", "bpr_max")
OPTIMIZERS = ("adam", "adagrad")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "bfloat16")
NUM_HEADS = 2  # of the attention tower


@dataclass(frozen=True, kw_only=True)
class TrainParameters:
    """Parameters of the `train` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds, or two values exclude each other.
    """

    query_tower: str = "gru_attention"
    embedding_dim: int = 128
    normalize: bool = True
    max_session_length: int = 256
    loss: str = "sampled"
    num_negatives: int = 1536
    correct_sampling: bool = True
    session_negatives: bool = True
    remove_accidental_hits: bool = True
    num_hard_negatives: int = 0
    temperature: float = 0.08
    trend_weight: float = 0.25
    dropout: float = 0.2
    input_dropout: float = 0.5
    mask_rate: float = 0.01
    optimizer: str = "adam"
    learning_rate: float = 0.002
    table_learning_rate: float = 0.015
    learning_rate_schedule: str = "cosine"
    batch_size: int = 1024
    max_epochs: int = 8
    max_valid_targets: int = 50_000
    patience: int = 2
    precision: str = "float32"
    jit_compile: bool = False
    refit: bool = True
    random_seed: int = 42

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
            "embedding_dim", "num_negatives", "batch_size", "max_epochs", "patience"
        ):  # fmt: skip
            _expect(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("temperature", "learning_rate"):
            _expect(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in (
            "num_hard_negatives",
            "random_seed",
            "table_learning_rate",
            "max_valid_targets",
        ):
            _expect(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("dropout", "input_dropout", "mask_rate"):
            _expect(0 <= getattr(self, name) < 1, name, "at least 0 and below 1", getattr(self, name))
        _expect(0 <= self.trend_weight <= 1, "trend_weight", "from 0 to 1", self.trend_weight)
        _expect(self.max_session_length >= 2, "max_session_length", "at least 2", self.max_session_length)
        if self.query_tower == "attention":
            expected = f"a multiple of the number of attention heads, {NUM_HEADS}"
            _expect(self.embedding_dim % NUM_HEADS == 0, "embedding_dim", expected, self.embedding_dim)
        if self.query_tower == "session_id":
            _expect(self.loss == "in_batch", "loss", "in_batch with the session_id tower", self.loss)

    def to_dict(self) -> dict[str, Any]:
        """All parameters by name."""
        return asdict(self)


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise ValueError(f"Expected {name} to be {expected}. Received: {received!r}")
