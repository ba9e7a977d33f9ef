"""Training parameters and their validation."""

import math
from dataclasses import asdict, dataclass
from typing import Any

# The keys of the tables in towers.py and objectives.py, which need TensorFlow.
QUERY_TOWER_NAMES = ("session_id", "last_item", "mean", "gru", "attention", "gru_attention")
LOSS_NAMES = ("in_batch", "sampled", "full", "bpr_max")
OPTIMIZERS = ("adam", "adagrad")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "bfloat16")

NUM_HEADS = 2  # attention heads of the attention tower
MIN_RATE = 1e-5  # smallest dropout or mask rate other than 0, limited by the resolution of the random numbers
MIN_TEMPERATURE = 1e-4  # keeps the logits far above the logit MASKED
MAX_SEED = 2**31 - 1  # TensorFlow's seeds are int32


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
    pointer: bool = True
    successor_half_count: float = 2000.0
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
    min_steps_per_epoch: int = 128
    max_epochs: int = 8
    max_valid_targets: int = 50_000
    patience: int = 2
    precision: str = "float32"
    jit_compile: bool = False
    refit: bool = True
    warm_start: bool = False
    random_seed: int = 42

    def __post_init__(self) -> None:
        for name, choices in (
            ("query_tower", QUERY_TOWER_NAMES),
            ("loss", LOSS_NAMES),
            ("optimizer", OPTIMIZERS),
            ("learning_rate_schedule", SCHEDULES),
            ("precision", PRECISIONS),
        ):
            _expect(getattr(self, name) in choices, name, f"one of {', '.join(choices)}", getattr(self, name))
        for name in ("embedding_dim", "num_negatives", "batch_size", "max_epochs", "patience"):
            _expect(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("num_hard_negatives", "max_valid_targets", "min_steps_per_epoch"):
            _expect(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        _expect(self.max_session_length >= 2, "max_session_length", "at least 2", self.max_session_length)
        _expect(0 <= self.random_seed <= MAX_SEED, "random_seed", f"from 0 to {MAX_SEED}", self.random_seed)
        for name, lowest in (("temperature", MIN_TEMPERATURE), ("table_learning_rate", 0), ("successor_half_count", 0)):
            value = getattr(self, name)
            _expect(lowest <= value < math.inf, name, f"finite and at least {lowest:g}", value)
        _expect(0 < self.learning_rate < math.inf, "learning_rate", "finite and above 0", self.learning_rate)
        for name in ("dropout", "input_dropout", "mask_rate"):
            rate = getattr(self, name)
            expected = f"0, or from {MIN_RATE:g} to {1 - MIN_RATE:g}"
            _expect(rate == 0 or MIN_RATE <= rate <= 1 - MIN_RATE, name, expected, rate)
        _expect(0 <= self.trend_weight <= 1, "trend_weight", "from 0 to 1", self.trend_weight)
        if self.query_tower == "attention":
            whole = self.embedding_dim % NUM_HEADS == 0
            _expect(whole, "embedding_dim", f"a multiple of {NUM_HEADS}, the heads", self.embedding_dim)
        if self.reads_session_ids:
            _expect(not self.warm_start, "warm_start", "false with the session_id tower", self.warm_start)
            _expect(self.loss == "in_batch", "loss", "in_batch with the session_id tower", self.loss)
        if self.pointer:
            lacks_own_items = self.loss in ("in_batch", "bpr_max")
            lacks_own_items |= self.loss == "sampled" and not self.session_negatives
            _expect(
                not lacks_own_items, "pointer", "false unless loss is full, or sampled with session_negatives", True
            )

    @property
    def reads_session_ids(self) -> bool:
        """Whether the query tower looks up session ids; if so, the saved model includes the training session ids."""
        return self.query_tower == "session_id"

    def to_dict(self) -> dict[str, Any]:
        """Returns all parameters by name."""
        return asdict(self)


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise ValueError(f"Expected {name} to be {expected}. Received: {received!r}")
