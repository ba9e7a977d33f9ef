import json

from click.testing import CliRunner

from components.core.logs.layout_table import LAYOUTS
from pipeline.__main__ import cli


def test_the_layouts_are_listed_with_their_settings_and_sources():
    text = CliRunner().invoke(cli, ["layouts"]).output
    for layout in LAYOUTS.values():
        assert f"{layout.name}\n  {layout.description}\n  {layout.source}: {layout.url}\n" in text
    assert '    event_types=["view"]\n' in text
    assert "    delimiter=\\t\n" in text
    assert "    has_header=false\n" in text


def test_as_json_they_are_what_the_table_holds():
    layouts = json.loads(CliRunner().invoke(cli, ["layouts", "--json"]).output)
    assert [layout["name"] for layout in layouts] == list(LAYOUTS)
    assert all(layout["settings"] == LAYOUTS[layout["name"]].settings for layout in layouts)
