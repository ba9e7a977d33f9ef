"""The parameters of the verification and their bounds."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VerifyParameters:
    """Parameters of the `verify` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds.
    """

    min_item_count: int = 1
    refit_min_overlap: float = 0.25
    gate_min_index_recall: float = 0.98
    gate_max_p99_ms: float = 100.0
    gate_max_score_difference: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 <= self.refit_min_overlap <= 1:
            raise ValueError(f"Expected refit_min_overlap to be from 0 to 1. Received: {self.refit_min_overlap}")
