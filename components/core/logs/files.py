"""Where a log lives: one file, a glob or a folder of files, on disk or in a bucket."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

CODECS = {".gz": "gzip", ".zst": "zstd"}
PARQUET_SUFFIXES = (".parquet", ".pq")
GCS_RETRY_LIMIT = timedelta(minutes=1)  # by default a missing credential is asked for again for a quarter of an hour


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """One file of a log.

    Attributes:
        filesystem: where it lies.
        path: as the file system knows it.
        name: as a person knows it, `s3://` or `gs://` included.
        num_bytes: its size when it was listed.
    """

    filesystem: fs.FileSystem
    path: str
    name: str
    num_bytes: int

    @property
    def codec(self) -> str | None:
        """What it is compressed with, by its suffix."""
        return CODECS.get(PurePosixPath(self.path).suffix)

    @property
    def suffix(self) -> str:
        """What it holds: its suffix without that of the compression, in lower case."""
        path = PurePosixPath(self.path)
        return (PurePosixPath(path.stem) if self.codec else path).suffix.lower()

    @property
    def is_parquet(self) -> bool:
        """Whether it holds columns instead of lines."""
        return self.suffix in PARQUET_SUFFIXES

    @contextmanager
    def open_stream(self) -> Iterator[pa.NativeFile]:
        """The decompressed bytes.

        Raises:
            FileNotFoundError: the file has gone since it was listed.
            ValueError: it ends before it should, or is not compressed the way its suffix says.
        """
        with _source_errors(self), self.filesystem.open_input_file(self.path) as raw:
            if self.codec is None:
                yield raw
                if raw.tell() < self.num_bytes:
                    raise ValueError(
                        f"Expected {self.name} to hold the {self.num_bytes} bytes it was listed with. "
                        f"Received: only {raw.tell()}; it was cut while it was read"
                    )
            else:
                with pa.CompressedInputStream(raw, self.codec) as stream:
                    yield stream

    @contextmanager
    def open_random_access(self) -> Iterator[pa.NativeFile]:
        """The bytes as they lie there, for Parquet."""
        with _source_errors(self), self.filesystem.open_input_file(self.path) as raw:
            yield raw


@contextmanager
def _source_errors(file: LogFile) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Expected {file.name} to stay where it was until it is read. Received: {error}"
        ) from error
    except OSError as error:
        raise ValueError(f"Expected to read {file.name} to its end. Received: {error}") from error


def find_files(source: str) -> list[LogFile]:
    """Lists the files of a source, ordered by name.

    Args:
        source: a file, a folder (all files below it), or a glob with `*`, `?` or `[...]`; a local path or an address
            with `s3://` or `gs://`. In folders and globs, names that begin with a dot or an underscore are passed over.
            Credentials, region and endpoint of a bucket come from the environment that its tools use.

    Raises:
        FileNotFoundError: there is no such file, or nothing matches.
        ValueError: the address names an unknown scheme.
    """
    try:
        filesystem, path, prefix = _locate(source)
        info = filesystem.get_file_info(path)
    except OSError as error:
        raise ValueError(f"Expected to reach {source}. Received: {error}") from error
    if info.type == fs.FileType.File:
        return [LogFile(filesystem=filesystem, path=path, name=source, num_bytes=info.size)]
    if info.type == fs.FileType.Directory:
        folder, matches = path, re.compile(".*", re.DOTALL)
    else:
        folder, matches = re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0], _glob(path)
    found = filesystem.get_file_info(fs.FileSelector(folder or "/", recursive=True, allow_not_found=True))
    files = [
        LogFile(filesystem=filesystem, path=each.path, name=prefix + each.path, num_bytes=each.size)
        for each in sorted(found, key=lambda each: each.path)
        if each.type == fs.FileType.File
        and matches.fullmatch(each.path)
        and not any(part[0] in "._" for part in each.path[len(folder) :].split("/") if part)
    ]
    if not files:
        raise FileNotFoundError(f"Expected a file, a folder with files or a matching glob. Received: {source}")
    return files


def _locate(source: str) -> tuple[fs.FileSystem, str, str]:
    scheme, separator, rest = source.partition("://")
    if not separator:
        return fs.LocalFileSystem(), str(Path(source).absolute()), ""
    rest = rest.rstrip("/")
    if scheme == "s3":
        return _s3(rest.partition("/")[0]), rest, "s3://"
    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=GCS_RETRY_LIMIT), rest, "gs://"
    if scheme == "file":
        return fs.LocalFileSystem(), rest, ""
    raise ValueError(f"Expected a local path or an address with s3:// or gs://. Received: {source!r}")


def _s3(bucket: str) -> fs.FileSystem:
    """Reads the endpoint from the environment, as the tools of the service do; keys are pyarrow's own business."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        return fs.S3FileSystem(scheme=scheme, endpoint_override=host.rstrip("/"))
    if "AWS_REGION" in os.environ or "AWS_DEFAULT_REGION" in os.environ:
        return fs.S3FileSystem()
    return fs.S3FileSystem(region=fs.resolve_s3_region(bucket))


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within one folder, `**/` goes through any number of them."""
    wildcards = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*|\?|\[[^]/]+\])", pattern)
    return re.compile(
        "".join(
            wildcards.get(part) or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part))
            for part in parts
        )
    )
