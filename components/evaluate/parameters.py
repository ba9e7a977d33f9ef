"""The evaluation parameters and their bounds."""

from dataclasses import dataclass

from components.core.serving.location import check_uri


@dataclass(frozen=True, kw_only=True)
class EvaluateParameters:
    """Parameters of the `evaluate` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds.
    """

    evaluate_ks: tuple[int, ...] = (1, 5, 10, 20, 50, 100)
    min_prefix: int = 1
    max_test_targets: int = 50_000
    serving_uri: str = ""

    def __post_init__(self) -> None:
        if self.serving_uri:
            check_uri(self.serving_uri)
        if not self.evaluate_ks or min(self.evaluate_ks) < 1:
            raise ValueError(f"Expected evaluate_ks to be cut-offs of at least 1. Received: {list(self.evaluate_ks)}")
        if self.min_prefix < 1:
            raise ValueError(f"Expected min_prefix to be at least 1. Received: {self.min_prefix}")
        if self.max_test_targets < 0:
            raise ValueError(f"Expected max_test_targets to be at least 0. Received: {self.max_test_targets}")
