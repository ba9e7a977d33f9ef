"""The parameters of a search and their bounds."""

from dataclasses import dataclass

from components.suggest.search import SAMPLERS
from components.suggest.spaces import parse_space


@dataclass(frozen=True, kw_only=True)
class SuggestParameters:
    """Parameters of the `suggest` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds, or the space is none.
    """

    search_space: str = "default"
    search_sampler: str = "tpe"
    trials_per_round: int = 4
    random_seed: int = 42

    def __post_init__(self) -> None:
        parse_space(self.search_space)
        if self.search_sampler not in SAMPLERS:
            raise ValueError(
                f"Expected search_sampler to be one of {', '.join(SAMPLERS)}. Received: {self.search_sampler!r}"
            )
        if self.trials_per_round < 0:
            raise ValueError(f"Expected trials_per_round to be at least 0. Received: {self.trials_per_round}")
