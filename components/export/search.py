"""Selects how the index searches the candidates."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.export.exact_search import ExactSearch

MIN_SCANN_ITEMS = 1_000  # the codes are learned from the candidates


def choose_index_kind(index_kind: str, num_items: int) -> str:
    """Returns how to search a catalogue of this size: as asked for, or brute_force if it is too small for that.

    The size is only known after the training, which must not be lost. A small catalogue is searched faster exactly.
    """
    return "brute_force" if index_kind == "scann" and num_items < MIN_SCANN_ITEMS else index_kind


def make_search(index_kind: str, candidates: npt.NDArray[np.float32]) -> Any:
    """Creates the search of a checked kind over candidates [num_items, dimension].

    Returns:
        A module with `search(queries, num_best)` and `vectors(rows)`, as in `ExactSearch`.
    """
    if index_kind == "scann":
        from components.export.scann_search import ScannSearch

        return ScannSearch(candidates)
    return ExactSearch(candidates)
