import json
from collections.abc import Callable, Iterator

import pytest
import s3_server
import storage_server


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The beginning of an address in each kind of store; the buckets are those of servers on the loopback."""
    folder = tmp_path_factory.mktemp("stores")
    account = folder / "account.json"
    account.write_text(json.dumps(storage_server.make_account()))
    with (
        pytest.MonkeyPatch.context() as patch,
        s3_server.serve("served") as variables,
        storage_server.serve("served", {}) as address,
    ):
        variables |= {"GOOGLE_APPLICATION_CREDENTIALS": str(account), "CLOUD_STORAGE_EMULATOR_ENDPOINT": address}
        for name, value in variables.items():
            patch.setenv(name, value)
        yield {"local": str(folder), "s3": "s3://served", "gs": "gs://served"}


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
