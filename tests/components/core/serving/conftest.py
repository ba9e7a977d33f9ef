from collections.abc import Callable

import pytest


@pytest.fixture(params=["local", "s3", "gs"])
def uri(request: pytest.FixtureRequest, stores: dict[str, str]) -> str:
    """A serving location that nothing was published to, with a name that is no plain word."""
    return f"{stores[request.param]}/a b+c/漢 {request.node.name.partition('[')[0]}"


@pytest.fixture
def list_paths(uri: str) -> Callable[[], set[str]]:
    """Lists all files of the serving location, except the lock."""

    def list_all() -> set[str]:
        from pathlib import Path

        import obstore

        from components.core.serving.bucket import Bucket
        from components.core.serving.location import open_location

        location = open_location(uri)
        if isinstance(location, Bucket):
            return {each["path"] for batch in obstore.list(location._store) for each in batch}
        return {
            path.relative_to(uri).as_posix() for path in Path(uri).rglob("*") if path.is_file() and path.name != ".lock"
        }

    return list_all
