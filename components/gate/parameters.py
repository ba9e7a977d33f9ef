"""The gate's parameters: what decides beside the measurements. docs/production.md gives the reason of each default."""

import math
from dataclasses import dataclass, field

from components.core.intake.acceptance import Acceptance


@dataclass(frozen=True, kw_only=True)
class GateParameters:
    """Parameters of the `gate` step; component.py describes each of them.

    Attributes:
        acceptance: conditions of the data, with the parameters and the defaults of the step that read the log.

    Raises:
        ValueError: a value is out of bounds.
    """

    gate_min_targets: int = 1_000
    gate_max_unknown_share: float = 0.2
    gate_min_coverage: float = 0.05
    gate_baselines: tuple[str, ...] = (
        "popularity",
        "session_popularity",
        "markov",
        "sequential_rules",
        "item_knn",
        "v_sknn",
        "stan",
    )
    gate_max_mean_loss: float = 0.01
    gate_max_interval_loss: float = 0.03
    gate_baselines_alone: bool = False
    gate_min_index_recall: float = 0.98
    gate_max_p99_ms: float = 100.0
    gate_max_score_difference: float = 1e-4
    gate_max_lost_share: float = 0.5
    gate_override: str = ""
    fail_when_refused: bool = False
    acceptance: Acceptance = field(default_factory=Acceptance)

    def __post_init__(self) -> None:
        _expect(self.gate_min_targets >= 1, "gate_min_targets", "at least 1", self.gate_min_targets)
        for name in (
            "gate_max_unknown_share",
            "gate_min_coverage",
            "gate_max_mean_loss",
            "gate_max_interval_loss",
            "gate_min_index_recall",
            "gate_max_score_difference",
            "gate_max_lost_share",
        ):
            value = getattr(self, name)
            _expect(0 <= value <= 1, name, "from 0 to 1", value)
        _expect(0 < self.gate_max_p99_ms < math.inf, "gate_max_p99_ms", "finite and above 0", self.gate_max_p99_ms)
        blank = bool(self.gate_override) and not self.gate_override.strip()
        _expect(not blank, "gate_override", "a reason, or empty for no override", self.gate_override)


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise ValueError(f"Expected {name} to be {expected}. Received: {received!r}")
