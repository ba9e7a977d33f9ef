from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import Running, publish, save_index, serve

ITEM_IDS = [f"i{number}" for number in range(40)]
OTHER_IDS = [f"i{number}" for number in range(50)]


@pytest.fixture(scope="session")
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_index(ITEM_IDS, tmp_path_factory.mktemp("first") / "index")


@pytest.fixture(scope="session")
def other_index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of another model, with ten more items."""
    return save_index(OTHER_IDS, tmp_path_factory.mktemp("other") / "index")


@pytest.fixture
def location(index_dir: Path, tmp_path: Path) -> str:
    """A serving location with one version."""
    uri = str(tmp_path / "served")
    publish(uri, index_dir, "first")
    return uri


@pytest.fixture(scope="module")
def server(index_dir: Path) -> Iterator[Running]:
    """A server of the first index, with small bounds."""
    bounds = {"max_rows": 8, "max_session_length": 12, "max_k": 30, "max_body_bytes": 20_000}
    with serve(index_dir, titles={"i3": "Third <b>", "i4": "Vierte"}, **bounds) as running:
        running.wait_for(lambda: running.get("/v2/health/ready").ok)
        yield running
