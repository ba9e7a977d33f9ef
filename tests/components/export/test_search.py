import pytest

from components.export.parameters import ExportParameters
from components.export.search import choose_index_kind


def test_parameters_that_cannot_be_met_are_refused():
    with pytest.raises(ValueError, match=r"Expected index_kind to be one of brute_force, scann. Received: 'hnsw'"):
        ExportParameters(index_kind="hnsw")


def test_a_small_catalogue_is_searched_exactly():
    """Its size is known after the training only, so an error would come too late."""
    assert choose_index_kind("scann", 999) == "brute_force"
    assert choose_index_kind("scann", 1_000) == "scann"
    assert choose_index_kind("brute_force", 1_000_000) == "brute_force"
