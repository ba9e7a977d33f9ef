"""A store that breaks off, over a file system of pyarrow whose reads fail as the real ones do."""

import io
import logging

import pyarrow as pa
import pytest
from pyarrow import fs

from components.core.logs import retries
from components.core.logs.files import LogFile
from components.core.logs.retries import BucketFile, retry

# As pyarrow's file systems say it.
AWAY = [
    "When getting information for key 'a.tsv' in bucket 'logs': AWS Error NETWORK_CONNECTION during HeadObject "
    "operation: curlCode: 7, Couldn't connect to server",
    "When listing objects under key 'days' in bucket 'logs': AWS Error SLOW_DOWN during ListObjectsV2 operation: busy",
    "When reading information for key 'a.tsv' in bucket 'logs': AWS Error UNKNOWN (HTTP status 503) during GetObject",
]
FINAL = [
    "When getting information for key 'a.tsv' in bucket 'logs': AWS Error ACCESS_DENIED during HeadObject operation",
    "When getting information for bucket 'logs': AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: none",
    "When getting information for key 'a.tsv' in bucket 'logs': AWS Error UNKNOWN (HTTP status 400) during HeadObject",
]


class Store(fs.FileSystemHandler):
    """Holds one file; the next operations fail with the errors."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.errors: list[Exception] = []
        self.num_opened = 0

    def fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def open_input_file(self, path):
        self.fail()
        self.num_opened += 1
        store = self

        class Raw(io.BytesIO):
            def read(self, size=-1):
                store.fail()
                return super().read(size)

        return pa.PythonFile(Raw(self.content), mode="r")

    def get_type_name(self):
        return "py"

    def normalize_path(self, path):
        return path

    get_file_info = get_file_info_selector = create_dir = delete_dir = delete_dir_contents = None
    delete_root_dir_contents = delete_file = move = copy_file = open_input_stream = None
    open_output_stream = open_append_stream = None


@pytest.fixture
def waits(monkeypatch):
    seen = []
    monkeypatch.setattr(retries.time, "sleep", seen.append)
    return seen


@pytest.fixture
def store():
    return Store(bytes(range(256)) * 40)


def open_file(store):
    return BucketFile(fs.PyFileSystem(store), "logs/a.tsv", "s3://logs/a.tsv")


@pytest.mark.parametrize("message", AWAY)
def test_a_store_that_is_away_is_asked_again(message, waits, caplog):
    errors = [OSError(message)] * 3

    def act():
        if errors:
            raise errors.pop()
        return "listed"

    with caplog.at_level(logging.WARNING):
        assert retry(act, "list s3://logs") == "listed"
    assert waits == [1, 2, 4]
    assert [record.getMessage().partition(". ")[0] for record in caplog.records] == [
        f"Attempt {number} to list s3://logs failed; the next one in {wait} s"
        for number, wait in ((1, 1), (2, 2), (3, 4))
    ]


@pytest.mark.parametrize("error", [*map(OSError, FINAL), FileNotFoundError("logs/a.tsv"), PermissionError("a.tsv")])
def test_what_no_wait_mends_ends_at_once(error, waits):
    def act():
        raise error

    with pytest.raises(type(error)):
        retry(act, "read s3://logs/a.tsv")
    assert waits == []


def test_the_waits_are_bounded(waits):
    def act():
        raise OSError(AWAY[0])

    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        retry(act, "read s3://logs/a.tsv")
    assert sum(waits) == 60


@pytest.mark.parametrize("position", [0, 100, 10_000])
def test_a_read_goes_on_where_it_stopped(store, waits, position):
    file = open_file(store)
    begin = file.read(position)
    store.errors = [OSError(AWAY[0])] * 2  # the read, and the opening of a new connection
    assert begin + file.read() == store.content
    assert waits == [1, 2]
    assert store.num_opened == 2


def test_a_file_that_was_replaced_is_not_read_on(store, waits):
    file = open_file(store)
    file.read(10)
    store.errors = [OSError(AWAY[0])]
    store.content += b"more"
    with pytest.raises(OSError, match="it had 10240 bytes, and was replaced by a file of 10244"):
        file.read()


def test_the_log_reader_goes_on(store, waits):
    log = LogFile(filesystem=fs.PyFileSystem(store), path="logs/a.tsv", name="s3://logs/a.tsv", num_bytes=10_240)
    with log.open_stream() as stream:
        parts = [stream.read(4_000)]
        store.errors = [OSError(AWAY[2])]
        while data := stream.read(4_000):
            parts.append(data)
    assert b"".join(parts) == store.content
    assert waits == [1]


def test_positions(store):
    file = open_file(store)
    assert (file.seek(-10, io.SEEK_END), file.read()) == (10_230, store.content[-10:])
    assert (file.seek(5), file.tell(), file.read(3)) == (5, 5, store.content[5:8])
    assert (file.seek(2, io.SEEK_CUR), file.read(1)) == (10, store.content[10:11])
    file.close()
    assert file.closed
