import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.item_table import check_item_table, find_columns
from components.report.items import Items, read_items, show

ROWS = [("7", "Chair", "oak"), ("007", "Agent", ""), ("a,b", 'Say "hi"', "x;y"), ("7", "Another chair", "steel")]


def write_text(path, delimiter, *, opener=open, header=("item", "title", "material"), encoding="utf-8"):
    def quote(cell):
        return '"' + cell.replace('"', '""') + '"'

    with opener(path, "wt", encoding=encoding) as file:
        for row in (header, *ROWS):
            file.write(delimiter.join(map(quote, row)) + "\n")
    return str(path)


def write_parquet(path, ids):
    pq.write_table(pa.table({"title": ["Chair", "Desk"], "item_id": ids, "price": [1.5, None]}), path)
    return str(path)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize(("suffix", "opener"), [("", open), (".gz", gzip.open)])
def test_text_of_any_delimiter_compressed_or_not(tmp_path, delimiter, suffix, opener):
    items = read_items(write_text(tmp_path / f"items.txt{suffix}", delimiter, opener=opener), {"7", "007", "a,b"})
    found = {item_id: (items(item_id).title, dict(items(item_id).notes)) for item_id in ("7", "007", "a,b", "8")}
    assert found == {
        "7": ("Chair", {"material": "oak"}),  # the first row of an id counts
        "007": ("Agent", {}),
        "a,b": ('Say "hi"', {"material": "x;y"}),
        "8": ("", {}),
    }


def test_parquet_with_numbers_as_ids(tmp_path):
    items = read_items(write_parquet(tmp_path / "items.parquet", [7, 8]), {"7", "8"})
    assert (items("7").title, items("7").notes) == ("Chair", {"price": "1.5"})
    assert (items("8").title, items("8").notes) == ("Desk", {})


@pytest.mark.parametrize("names", [("Item_ID", "Name"), ("product_id", "product_name"), ("itemid", "TITLE")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_of_the_columns(tmp_path, names, encoding):
    path = write_text(tmp_path / "items.csv", ",", header=(*names, "other"), encoding=encoding)
    check_item_table(path)
    assert read_items(path, {"7"})("7").title == "Chair"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("sku", "title", "x"), "a column item with the item's id. Received: sku, title, x"),
        (("item", "text", "x"), "a column title with the item's title. Received: item, text, x"),
    ],
)
def test_a_column_that_is_missing_is_named(tmp_path, header, message):
    path = write_text(tmp_path / "items.csv", ",", header=header)
    with pytest.raises(ValueError, match=message):
        check_item_table(path)


def test_a_message_about_many_columns_is_short():
    names = [f"name{number}" for number in range(1_000)]
    with pytest.raises(ValueError, match=r"name19, \.\.\. and 980 more$"):
        find_columns(names, "items.csv")
    with pytest.raises(ValueError, match=r"name19, \.\.\. and 980 more more than once$"):
        find_columns(names * 2, "items.csv")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "items.csv").write_text("item,title\n1,2,3\n")
    with pytest.raises(ValueError, match="Expected a Parquet file or text with a header"):
        read_items(str(tmp_path / "items.csv"), {"1"})
    with pytest.raises(FileNotFoundError):
        check_item_table(str(tmp_path / "gone.csv"))


def test_what_is_shown_is_printable_and_short():
    assert show("plain id") == "plain id"
    assert show("\u202egnirts\x1b[31m\u200f") == "\\u202egnirts\\x1b[31m\\u200f"
    assert show("x" * 300) == "x" * 89 + "…"
    assert Items()("العربية").item_id == "العربية"


def test_how_many_items_have_a_title_is_said(tmp_path):
    path = write_text(tmp_path / "items.csv", ",")
    assert read_items(path, {"7", "8", "a,b"}).note == (
        "2 of 3 items on this page have a title in the item table. The first row counts of 1 item with several rows."
    )
    assert Items().note == ""


def test_a_table_of_other_items_is_refused_with_an_example_of_each(tmp_path):
    path = write_text(tmp_path / "items.csv", ",")
    with pytest.raises(ValueError, match="of this page; the table has ids such as '7', this page such as 'sku-7'"):
        read_items(path, {"sku-7"})
    assert read_items(path, set()).rows == {}
