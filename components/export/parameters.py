"""The parameters of the export and their bounds."""

from dataclasses import dataclass

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ExportParameters:
    """Parameters of the `export` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds.
    """

    serving_k: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.serving_k <= INT32_MAX:
            raise ValueError(f"Expected serving_k to be from 1 to {INT32_MAX}. Received: {self.serving_k}")
