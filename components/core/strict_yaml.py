"""Reads YAML that people have written, and refuses what PyYAML drops in silence."""

from typing import Any

import yaml


class _DuplicateKeyError(yaml.YAMLError):
    """A mapping has a key twice."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice. YAML has no such mapping, and PyYAML takes the last value."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Reads a mapping."""
        mapping = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise _DuplicateKeyError(f"{key.value!r} in line {lines[name]} and again in line {line}")
            lines[name] = line
        return mapping


def load_yaml(text: str, source: str) -> Any:
    """Reads a YAML document.

    Args:
        text: the document.
        source: what it is, for error messages.

    Raises:
        ValueError: the text is no YAML, or a mapping has a key twice.
    """
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 (a safe loader)
    except _DuplicateKeyError as error:
        raise ValueError(f"Expected each key once in {source}. Received: {error}. Remove one of them") from error
    except yaml.YAMLError as error:
        raise ValueError(f"Expected {source} to be YAML. Received: {' '.join(str(error).split())}") from error
