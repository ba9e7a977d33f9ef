"""The parameters of the vocabulary and their bounds."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VocabularyParameters:
    """Parameters of the `vocabulary` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds.
    """

    min_item_count: int = 1
    refit: bool = True

    def __post_init__(self) -> None:
        if self.min_item_count < 1:
            raise ValueError(f"Expected min_item_count to be at least 1. Received: {self.min_item_count}")
