"""What a Kubernetes cluster may ask of the pods of all tasks, read from a YAML file.

```yaml
node_selector: {pool: training}
tolerations: [{key: dedicated, operator: Equal, value: training, effect: NoSchedule}]
image_pull_secrets: [registry]
image_pull_policy: IfNotPresent
annotations: {team: search}
config_map_env: {proxy-settings: [HTTPS_PROXY, NO_PROXY]}
```
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import dsl, kubernetes

from components.core.strict_yaml import load_yaml

_POLICIES = ("Always", "IfNotPresent", "Never")
_TOLERATION = {"key": str, "operator": str, "value": str, "effect": str, "toleration_seconds": int}
_OPERATORS = ("Equal", "Exists")
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_EMPTY: dict[str, Any] = {
    "node_selector": {},
    "tolerations": [],
    "image_pull_secrets": [],
    "image_pull_policy": "",
    "annotations": {},
    "config_map_env": {},
}


@dataclass(frozen=True)
class PlatformSettings:
    """Settings for the pods of all tasks.

    Attributes:
        text: the settings as canonical JSON, so that they can be compared and hashed. Keys that are missing in it are
            not set.
    """

    text: str = "{}"

    @classmethod
    def read(cls, path: Path) -> "PlatformSettings":
        """Reads a YAML file.

        Raises:
            ValueError: the file cannot be read or has a key twice, or a setting is unknown or has the wrong type.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"Expected YAML in {path} (--platform). Received: {error}") from error
        document = load_yaml(text, f"{path} (--platform)")
        try:
            return cls.check({} if document is None else document)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def check(cls, document: Any) -> "PlatformSettings":
        """Checks settings.

        Raises:
            ValueError: a setting is unknown or has the wrong type.
        """
        if not isinstance(document, dict) or not document.keys() <= _EMPTY.keys():
            raise ValueError(f"Expected a mapping with keys of {', '.join(_EMPTY)}. Received: {str(document)[:80]}")
        values = {**_EMPTY, **document}
        for name in ("node_selector", "annotations"):
            if not _is_mapping_of(values[name], str):
                raise ValueError(f"Expected {name} to map texts to texts. Received: {values[name]}")
        if not _is_list_of(values["image_pull_secrets"], str):
            raise ValueError(
                f"Expected image_pull_secrets to be a list of names. Received: {values['image_pull_secrets']}"
            )
        if values["image_pull_policy"] not in ("", *_POLICIES):
            raise ValueError(
                f"Expected image_pull_policy to be one of {', '.join(_POLICIES)}. "
                f"Received: {values['image_pull_policy']!r}"
            )
        config_maps = values["config_map_env"]
        if not _is_mapping_of(config_maps, list) or not all(_is_list_of(keys, str) for keys in config_maps.values()):
            raise ValueError(f"Expected config_map_env to map config maps to lists of keys. Received: {config_maps}")
        if not _is_list_of(values["tolerations"], dict):
            raise ValueError(f"Expected tolerations to be a list of mappings. Received: {values['tolerations']}")
        for toleration in values["tolerations"]:
            _check_toleration(toleration)
        return cls(json.dumps(document, sort_keys=True))

    def apply(self, task: dsl.PipelineTask) -> None:
        """Sets what the pods of a task have."""
        values = {**_EMPTY, **json.loads(self.text)}
        for key, value in values["node_selector"].items():
            kubernetes.add_node_selector(task, label_key=key, label_value=value)
        for toleration in values["tolerations"]:
            kubernetes.add_toleration(task, **toleration)
        if values["image_pull_secrets"]:
            kubernetes.set_image_pull_secrets(task, values["image_pull_secrets"])
        if values["image_pull_policy"]:
            kubernetes.set_image_pull_policy(task, values["image_pull_policy"])
        for key, value in values["annotations"].items():
            kubernetes.add_pod_annotation(task, key, value)
        for name, keys in values["config_map_env"].items():
            kubernetes.use_config_map_as_env(task, name, {key: key for key in keys})


NO_SETTINGS = PlatformSettings()


def _check_toleration(toleration: Mapping[str, Any]) -> None:
    is_right = all(type(value) is _TOLERATION.get(key) for key, value in toleration.items())
    is_right = is_right and toleration.get("operator", "Equal") in _OPERATORS
    is_right = is_right and toleration.get("effect", "NoSchedule") in _EFFECTS
    if not is_right:
        raise ValueError(
            f"Expected a toleration with keys of {', '.join(_TOLERATION)}, an operator of {', '.join(_OPERATORS)} and "
            f"an effect of {', '.join(_EFFECTS)}. Received: {dict(toleration)}"
        )


def _is_mapping_of(values: Any, kind: type) -> bool:
    return isinstance(values, dict) and all(isinstance(key, str) and type(each) is kind for key, each in values.items())


def _is_list_of(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(each) is kind for each in values)
