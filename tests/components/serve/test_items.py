import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.serve.items import find_items, read_titles

CATALOGUE = pa.array(["i1", "i10", "i2", "007", "straße"])
NONE = pa.array([], pa.string())
TITLE_IDS, TITLES = pa.array(["gone", "007", "i2"]), pa.array(["red", "red SHOE lace", "Red shoe"])


def test_items_are_found_by_id_and_title_from_the_most_popular():
    assert find_items(CATALOGUE, NONE, NONE, "", limit=2) == ["i1", "i10"]
    assert find_items(CATALOGUE, NONE, NONE, "I1", limit=9) == ["i1", "i10"]
    assert find_items(CATALOGUE, NONE, NONE, "i10", limit=9) == ["i10"]
    assert find_items(pa.array(["xa", "a"]), NONE, NONE, "a", limit=9) == ["a", "xa"]  # the id itself first
    assert find_items(CATALOGUE, TITLE_IDS, TITLES, "shoe", limit=9) == ["i2", "007"]
    assert find_items(CATALOGUE, TITLE_IDS, TITLES, "red", limit=1) == ["i2"]
    assert find_items(CATALOGUE, TITLE_IDS, TITLES, "(", limit=9) == []
    assert find_items(CATALOGUE, NONE, NONE, "STRASSE", limit=9) == []


def test_titles_of_a_csv_and_a_parquet_file(tmp_path):
    (tmp_path / "items.csv").write_text('sku,name,price\n007,"Shoe, red",1\n1e5,Lace,2\n007,Other,3\nx,,4\n')
    table = pa.table({"sku": ["007", "1e5", "x", None], "name": ["Shoe, red", "Lace", None, "no id"]})
    pq.write_table(table, tmp_path / "items.parquet")
    pq.write_table(pa.table({"sku": [7], "name": ["Seven"]}), tmp_path / "numbers")
    for name in ("items.csv", "items.parquet"):
        found = read_titles(tmp_path / name, item_column="sku", title_column="name")
        assert found == {"007": "Shoe, red", "1e5": "Lace"}
    assert read_titles(tmp_path / "numbers", item_column="sku", title_column="name") == {"7": "Seven"}


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected a Parquet or CSV file with the titles"):
        read_titles(tmp_path / "none", item_column="a", title_column="b")
    (tmp_path / "items.csv").write_text("a,c\n1,2\n")
    with pytest.raises(ValueError, match=r"Expected the columns a, b in .*items.csv. Received: a, c"):
        read_titles(tmp_path / "items.csv", item_column="a", title_column="b")
    (tmp_path / "items.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match="Expected a Parquet or CSV file"):
        read_titles(tmp_path / "items.parquet", item_column="a", title_column="b")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="Expected the columns a, b"):
        read_titles(tmp_path / "other.parquet", item_column="a", title_column="b")
