import click
import pytest

from components.core.run_artifacts import TRAINING_FILE, find_index
from pipeline.recommend_options import parse_session


@pytest.mark.parametrize(
    ("session", "items", "expected"),
    [
        ("1,2", (), ["1", "2"]),
        (" 1, 2 ,\t3", (), ["1", "2", "3"]),
        ("a b,é漢😀", (), ["a b", "é漢😀"]),
        (None, (" 1", "2,3", "4\r"), [" 1", "2,3", "4\r"]),
    ],
)
def test_ids_of_a_session(session, items, expected):
    assert parse_session(session, items) == expected


@pytest.mark.parametrize(("session", "items"), [("1,,2", ()), ("", ()), (" ", ()), (None, ("1", "")), ("\udcff", ())])
def test_what_is_no_id_is_refused(session, items):
    with pytest.raises(ValueError, match="Expected item ids that are not empty and valid UTF-8"):
        parse_session(session, items)


@pytest.mark.parametrize(("session", "items", "received"), [(None, (), "neither"), ("1", ("2",), "both")])
def test_one_way_to_name_the_session(session, items, received):
    with pytest.raises(click.UsageError, match=f"Expected --session or --item. Received: {received}"):
        parse_session(session, items)


@pytest.fixture
def output(tmp_path):
    for name in ("index", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "model" / TRAINING_FILE).parent.mkdir()
    (tmp_path / "model" / TRAINING_FILE).touch()
    return tmp_path


def test_an_output_folder_leads_to_its_index(output):
    assert find_index(output) == find_index(output / "index") == output / "index"


def test_a_model_is_no_index(output):
    with pytest.raises(
        ValueError, match=rf"Expected an index. Received: .*/model, which is a trained model; .* {output}/index"
    ):
        find_index(output / "model")


def test_nothing_is_no_index(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected an index, a folder with saved_model\.pb\. Received: "):
        find_index(tmp_path / "nowhere")
