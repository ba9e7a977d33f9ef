import json
from collections.abc import Iterator

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
