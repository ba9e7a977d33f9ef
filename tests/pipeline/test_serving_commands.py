import json
import subprocess
import sys

import pytest
from served import DETAILS, make_draft

from components.core.serving.location import open_location
from pipeline import __main__ as command_line


def run(monkeypatch, capsys, *arguments):
    """Runs the command line; returns the exit code, what it printed and what it said on stderr."""
    monkeypatch.setattr(sys, "argv", ["two-tower", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.fixture
def uri(tmp_path):
    uri = str(tmp_path / "served")
    for key, until in (("run-a", 1_441_324_800_000), ("run\x1b-b", None)):  # 2015-09-04 00:00 UTC
        draft = make_draft(tmp_path, key, details={**DETAILS, "trained_until": until})
        open_location(uri).publish(draft)
    return uri


def test_versions_are_printed_in_order_with_the_one_that_is_served(uri, monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, "versions", "--serving", uri)
    first, second = (line for line in printed.splitlines() if "0.5000" in line)
    assert code == 0
    assert ("served" in first, "served" in second) == (False, True)
    for text in ("2015-09-04 00:00", "0.5000", "0.2500", "run-a"):
        assert text in first
    assert "run\\x1b-b" in second


def test_versions_are_printed_as_json(uri, monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, "versions", "--serving", uri, "--json")
    found = json.loads(printed)
    assert code == 0
    assert [(each["version"], each["publication_key"], each["served"]) for each in found] == [
        (1, "run-a", False),
        (2, "run\x1b-b", True),
    ]
    assert (found[0]["trained_until"], found[0]["recall@20"], found[0]["mrr@20"]) == (1_441_324_800_000, 0.5, 0.25)


def test_a_rollback_is_served(uri, monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, "rollback", "--serving", uri)
    assert (code, printed) == (0, "Version 3 is published. It has the content of version 1.\n")
    _, printed, _ = run(monkeypatch, capsys, "versions", "--serving", uri)
    assert "version 1 again" in next(line for line in printed.splitlines() if "served" in line)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_location_without_a_version_is_listed(tmp_path, monkeypatch, capsys, options):
    code, printed, said = run(monkeypatch, capsys, "versions", "--serving", str(tmp_path / "none"), *options)
    assert (code, said) == (0, "")
    assert printed == ("[]\n" if options else f"No version is published in {tmp_path / 'none'}.\n")


def test_a_damaged_manifest_is_an_error_beside_the_other_versions(uri, tmp_path, monkeypatch, capsys):
    (tmp_path / "served" / "2" / "manifest.json").write_bytes(b'{"schema_version": 9}')
    code, printed, said = run(monkeypatch, capsys, "versions", "--serving", uri)
    assert code == 1
    assert "run-a" in printed
    assert "served" not in printed
    assert "version 2" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("versions",), 2, "Missing option '--serving'"),
        (("rollback", "--serving", "served", "--to", "0"), 2, "Invalid value for '--to'"),
        (("versions", "--serving", "ftp://a"), 1, "Expected a local folder, s3"),
        (("rollback", "--serving", "/nowhere/served"), 1, "Received: no version"),
        (("versions", "--serving", "/dev/null"), 1, "Expected to read the serving location /dev/null"),
    ],
)
def test_errors_are_one_line_with_the_exit_code_of_their_kind(monkeypatch, capsys, arguments, code, message):
    found, _, said = run(monkeypatch, capsys, *arguments)
    assert found == code
    assert message in said
    assert said.count("\n") == 1 or code == 2


def test_the_commands_load_no_tensorflow(uri):
    script = (
        "import sys; from pipeline.__main__ import cli\n"
        f"cli(['versions', '--serving', {uri!r}], standalone_mode=False)\n"
        f"cli(['rollback', '--serving', {uri!r}], standalone_mode=False)\n"
        "import components.core.serving.bucket\n"
        "assert not [name for name in sys.modules if name.startswith(('tensorflow', 'tf_keras'))]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
