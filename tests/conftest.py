import gc
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pyarrow as pa
import pyarrow.compute as pc
from factories import SMALL_LOG, make_events, make_hostile_id

from components.core.events import SCHEMA, SPLITS, read_split, write_split
from components.ingest.step import IngestParameters, ingest
from components.vocabulary.step import make_vocabulary

# The files whose slow tests take longest. They come first, so that no worker is alone with one of them at the end.
LONGEST = ("test_publication.py", "test_benchmarks.py", "test_tuning.py", "test_workers.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests of the LONGEST files to the front."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Makes garbage collections rare and small: they took a tenth of the time, since graphs have many objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_sessionfinish() -> None:
    """Lets the interpreter free everything when it ends."""
    gc.unfreeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names long bytes by their argument: compressed ones hold a time, and workers must agree on the names of tests."""
    return argname if isinstance(val, bytes) and len(val) > 20 else None


@pytest.fixture(scope="session", autouse=True)
def stacks_without_source() -> Iterator[None]:
    """Makes `inspect.stack` read the source of the frames only if its caller asks for it.

    KFP inspects the stack at each setting of a task, for the name of a function. Under pytest, reading the source takes
    several times as long as the compilation.
    """
    stack = inspect.stack
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "stack", lambda context=0: stack(context))
        yield


@pytest.fixture
def make_artifacts(tmp_path: Path):
    """Writes an events artifact and its vocabulary from sessions by split, and gives their paths."""

    def make(*, refit: bool = False, min_item_count: int = 1, **splits: dict[str, list[str]]) -> tuple[Path, Path]:
        events_dir, vocabulary_path = tmp_path / "events", tmp_path / "vocabulary.parquet"
        for split, sessions in splits.items():
            write_split(make_events(sessions), events_dir, split)
        make_vocabulary(events_dir, vocabulary_path, min_item_count=min_item_count, include_valid=refit)
        return events_dir, vocabulary_path

    return make


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three TSVs of a small generated log."""
    return SMALL_LOG.write(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="session")
def small_artifacts(small_log: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Events and vocabulary of the small log."""
    folder = tmp_path_factory.mktemp("artifacts")
    ingest(small_log, folder / "events", IngestParameters())
    make_vocabulary(folder / "events", folder / "vocabulary.parquet", min_item_count=1, include_valid=False)
    return folder / "events", folder / "vocabulary.parquet"


@pytest.fixture(scope="session")
def hostile_artifacts(
    small_artifacts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Events and vocabulary of the small log, its items and its sessions renamed by `make_hostile_id`.

    Those that come first in train have the first names.
    """
    folder = tmp_path_factory.mktemp("hostile")
    splits = {split: read_split(small_artifacts[0], split).cast(SCHEMA) for split in SPLITS}
    for number, name in enumerate(("session_id", "item_id")):
        known = pc.unique(pa.concat_tables(splits.values())[name])
        hostile = pa.array([make_hostile_id(each) for each in range(len(known))])
        for split, events in splits.items():
            ids = pc.take(hostile, pc.index_in(events[name], value_set=known))
            splits[split] = events.set_column(number, SCHEMA.field(number), ids)
    for split, events in splits.items():
        write_split(events, folder / "events", split)
    make_vocabulary(folder / "events", folder / "vocabulary.parquet", min_item_count=1, include_valid=False)
    return folder / "events", folder / "vocabulary.parquet"
