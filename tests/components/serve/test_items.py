import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.serve.items import find_items, log_matches, read_titles

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
        found = read_titles(str(tmp_path / name), item_column="sku", title_column="name")
        assert found == ({"007": "Shoe, red", "1e5": "Lace"}, name == "items.csv")
    assert read_titles(str(tmp_path / "numbers"), item_column="sku", title_column="name") == ({"7": "Seven"}, 0)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected a file, a folder with files or a matching glob"):
        read_titles(str(tmp_path / "none"), item_column="a", title_column="b")
    (tmp_path / "items.csv").write_text("a,c\n1,2\n")
    with pytest.raises(ValueError, match=r"Expected .*items.csv to have a column b with the item's title. Received: a"):
        read_titles(str(tmp_path / "items.csv"), item_column="a", title_column="b")
    (tmp_path / "items.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match="Expected a Parquet file or text with a header"):
        read_titles(str(tmp_path / "items.parquet"), item_column="a", title_column="b")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="a column b with the item's title"):
        read_titles(str(tmp_path / "other.parquet"), item_column="a", title_column="b")


def test_what_the_report_reads_has_titles_for_the_demo_page_too(tmp_path):
    (tmp_path / "first.csv").write_text("Item_ID;Brand;Name\n007;Acme;Shoe, red\n")
    with gzip.open(tmp_path / "second.tsv.gz", "wt") as file:
        file.write("product_id\ttitle\n8\tLace\n007\tOther\n")
    pq.write_table(pa.table({"id": [9], "name": ["Nine"]}), tmp_path / "third.parquet")
    expected = {"007": "Shoe, red", "8": "Lace", "9": "Nine"}
    assert read_titles(str(tmp_path), item_column="", title_column="") == (expected, 1)
    assert read_titles(str(tmp_path / "*.*"), item_column="", title_column="") == (expected, 1)
    assert read_titles(str(tmp_path / "first.csv"), item_column="", title_column="Brand")[0] == {"007": "Acme"}


@pytest.mark.parametrize("write", ["csv", "parquet"])
def test_two_columns_with_one_name_are_an_error(tmp_path, write):
    if write == "csv":
        (tmp_path / "items").write_text("item,title,title\n1,a,b\n")
    else:
        columns = [pa.array(["1"]), pa.array(["a"]), pa.array(["b"])]
        pq.write_table(pa.Table.from_arrays(columns, names=["item", "title", "title"]), tmp_path / "items")
    with pytest.raises(ValueError, match=r"to have a name of its own. Received: title more than once"):
        read_titles(str(tmp_path / "items"), item_column="item", title_column="title")


def test_how_many_items_have_a_title_is_logged(caplog):
    caplog.set_level("INFO")
    log_matches(pa.array(["1", "2", "3"]), {"1": "One", "9": "Nine"}, 2)
    assert caplog.messages == [
        "Of 2 items with several titles in the item table, the first counts.",
        "1 of 3 items have a title.",
    ]
    caplog.clear()
    log_matches(pa.array(["1", "2"]), {"sku-1": "One"}, 0)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith(
        "none of the ids of the model; the table has ids such as 'sku-1', the model such as '1'"
    )
