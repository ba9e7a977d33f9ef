"""The parameters of the export and their bounds."""

from dataclasses import dataclass

INT32_MAX = 2**31 - 1
INDEX_KINDS = ("brute_force", "scann")


@dataclass(frozen=True, kw_only=True)
class ExportParameters:
    """Parameters of the `export` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds.
    """

    serving_k: int = 100
    index_kind: str = "brute_force"
    min_index_recall: float = 0.98

    def __post_init__(self) -> None:
        if not 1 <= self.serving_k <= INT32_MAX:
            raise ValueError(f"Expected serving_k to be from 1 to {INT32_MAX}. Received: {self.serving_k}")
        if self.index_kind not in INDEX_KINDS:
            raise ValueError(
                f"Expected index_kind to be one of {', '.join(INDEX_KINDS)}. Received: {self.index_kind!r}"
            )
        if not 0.0 <= self.min_index_recall <= 1.0:
            raise ValueError(f"Expected min_index_recall to be from 0 to 1. Received: {self.min_index_recall}")
