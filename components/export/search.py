"""Selects how the index searches the candidates."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.export.exact_search import ExactSearch

MIN_SCANN_ITEMS = 1_000  # the codes are learned from the candidates


def check_index_kind(index_kind: str, num_items: int) -> None:
    """Checks that an index of this kind can be built.

    Raises:
        ValueError: the catalogue is too small for the kind.
    """
    if index_kind == "scann" and num_items < MIN_SCANN_ITEMS:
        raise ValueError(
            f"Expected at least {MIN_SCANN_ITEMS:,} items for index_kind scann; use brute_force, which is exact. "
            f"Received: {num_items:,}"
        )


def make_search(index_kind: str, candidates: npt.NDArray[np.float32]) -> Any:
    """Creates the search of a checked kind over candidates [num_items, dimension].

    Returns:
        A module with `search(queries, num_best)` and `vectors(rows)`, as in `ExactSearch`.
    """
    if index_kind == "scann":
        from components.export.scann_search import ScannSearch

        return ScannSearch(candidates)
    return ExactSearch(candidates)
