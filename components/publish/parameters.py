"""The parameters of a publication and their bounds."""

from dataclasses import dataclass

from components.core.serving.location import check_uri


@dataclass(frozen=True, kw_only=True)
class PublishParameters:
    """Parameters of the `publish` step; component.py describes each of them.

    Raises:
        ValueError: a value is out of bounds.
    """

    publication_key: str
    serving_uri: str = ""
    champion_version: int = -1
    keep_versions: int = 5
    refit_on_test: bool = True
    gate_override: str = ""

    def __post_init__(self) -> None:
        check_uri(self.serving_uri)
        if not self.publication_key:
            raise ValueError("Expected publication_key to be the id of the run. Received: an empty one")
        if self.champion_version < -1:
            raise ValueError(f"Expected champion_version to be at least -1. Received: {self.champion_version}")
        if self.keep_versions < 2:
            raise ValueError(
                f"Expected keep_versions to be at least 2, so that a version is left to roll back to. "
                f"Received: {self.keep_versions}"
            )
