import pytest

from components.export.parameters import ExportParameters
from components.export.search import check_index_kind


def test_parameters_that_cannot_be_met_are_refused():
    with pytest.raises(ValueError, match=r"Expected index_kind to be one of brute_force, scann. Received: 'hnsw'"):
        ExportParameters(index_kind="hnsw")
    with pytest.raises(ValueError, match=r"Expected at least 1,000 items for index_kind scann; .* Received: 999"):
        check_index_kind("scann", 999)
    check_index_kind("scann", 1_000)
    check_index_kind("brute_force", 1)
