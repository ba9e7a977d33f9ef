import pytest

from components.core.strict_yaml import load_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 1\n", "Expected each key once in the file. Received: 'a' in line 1 and again in line 3"),
        ("a: 1\n'a': 1\n", "'a' in line 1 and again in line 2"),
        ("list:\n- {x: 1, y: 2, x: 3}\n", "'x' in line 2 and again in line 2"),
        ("outer:\n  inner: 1\n  inner: 2\n", "'inner' in line 2 and again in line 3"),
        ("a: [", "Expected the file to be YAML. Received: while parsing"),
        ("!!python/object/apply:os.getcwd []", "Expected the file to be YAML. Received: could not determine"),
    ],
)
def test_refuses_a_key_that_stands_twice_and_what_is_no_yaml(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        load_yaml(text, "the file")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a: {x: 1}\nb: {x: 2}\n", {"a": {"x": 1}, "b": {"x": 2}}),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
        ("a: &base {x: 1, y: 2}\nb: {<<: *base, x: 3}\n", {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}),
    ],
)
def test_reads_other_documents(text: str, expected: object) -> None:
    assert load_yaml(text, "the file") == expected
