"""Finds the files of a log: one file, a folder or a glob, on disk or in a bucket."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from components.core.logs.archives import open_member
from components.core.logs.formats import GZIP, ZIP
from components.core.logs.gzip_stream import GzipStream
from components.core.logs.retries import BucketFile, retry

COMPRESSION_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".zip")
GCS_RETRY_LIMIT = timedelta(minutes=1)  # by default, requests without credentials are retried for 15 minutes

Tree: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """One file of a log.

    Attributes:
        filesystem: file system that contains the file.
        path: path within the file system.
        name: path for messages, including `s3://` or `gs://`.
        num_bytes: size in bytes when the file was listed.
    """

    filesystem: fs.FileSystem
    path: str
    name: str
    num_bytes: int

    @property
    def suffix(self) -> str:
        """Last suffix in lower case, ignoring those of compression."""
        suffixes = [suffix.lower() for suffix in PurePosixPath(self.path).suffixes]
        return next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSION_SUFFIXES), "")

    @property
    def partition(self) -> dict[str, str]:
        """Values by name from the folders of a Hive-style path, such as `date=2015-05-01/`."""
        folders = PurePosixPath(self.path).parts[:-1]
        pairs = (folder.partition("=") for folder in folders if "=" in folder)
        return {unquote(name): unquote(value) for name, _, value in pairs}

    @contextmanager
    def open_stream(self, codec: str | None = None) -> Iterator[Any]:
        """Opens the file for sequential reading.

        Args:
            codec: one of `formats.COMPRESSED` to decompress the file; None to read its bytes unchanged.

        Raises:
            FileNotFoundError: the file was removed after it was listed.
            ValueError: the bytes cannot be read or decompressed.
        """
        with self.open_tracked(codec) as (stream, _):
            yield stream

    @contextmanager
    def open_tracked(self, codec: str | None = None) -> Iterator[tuple[Any, Callable[[], int]]]:
        """Opens the file like `open_stream`; also yields a function with the position among its stored bytes."""
        with _source_errors(self), self._open() as raw:
            if codec is None:
                yield raw, raw.tell
            elif codec == ZIP:
                with open_member(raw, self.name) as stream:
                    yield stream, raw.tell
            elif codec == GZIP:
                yield GzipStream(raw), raw.tell
            else:
                with pa.CompressedInputStream(raw, codec) as stream:
                    yield stream, raw.tell

    def _open(self) -> Any:
        if isinstance(self.filesystem, fs.LocalFileSystem):
            return self.filesystem.open_input_file(self.path)
        return pa.PythonFile(BucketFile(self.filesystem, self.path, self.name), mode="r")


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
    """Lists the files of a source, sorted by path.

    Args:
        source: a file, a folder (all files below it), or a glob with `*`, `?`, `[...]` or `**`; a local path or an
            address with `s3://` or `gs://`. If a file or a folder has the literal name of a glob, it is used instead of
            the matches of the glob. Folders and globs skip names that begin with a dot or an underscore. Credentials,
            region and endpoint of a bucket are read from the standard environment variables of its provider.

    Raises:
        FileNotFoundError: the file does not exist, or no file matches.
        ValueError: the scheme of the address is unknown, or the address cannot be reached.
    """
    try:
        found = retry(lambda: _list(source), f"list {source}")
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise ValueError(f"Expected to reach {source}. Received: {error}") from error
    if not found:
        raise FileNotFoundError(f"Expected a file, a folder with files or a matching glob. Received: {source}")
    return found


def _list(source: str) -> list[LogFile]:
    filesystem, path, prefix = _locate(source)
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        return [LogFile(filesystem=filesystem, path=path, name=source, num_bytes=info.size)]
    if info.type == fs.FileType.Unknown:
        raise ValueError(f"Expected a file or a folder. Received: {source}, a pipe or a device; save it as a file")
    is_folder = info.type == fs.FileType.Directory
    root, pattern = (path, []) if is_folder else _split_glob(filesystem, path)
    selector = fs.FileSelector(root or "/", recursive=is_folder or len(pattern) > 1, allow_not_found=True)
    tree = _to_tree(root, filesystem.get_file_info(selector))
    matched = (each for folder in _walk(tree) for each in _files(folder)) if is_folder else _match(tree, pattern)
    found = {each.path: each for each in matched}
    return [
        LogFile(filesystem=filesystem, path=path, name=prefix + path, num_bytes=found[path].size)
        for path in sorted(found)
    ]


def _split_glob(filesystem: fs.FileSystem, path: str) -> tuple[str, list[str]]:
    """Splits a path into the folder to list and the patterns of all path components from the first wildcard on."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        if set(part) & set("*?["):
            folder = "/".join(parts[: place + 1])
            if filesystem.get_file_info(folder).type == fs.FileType.NotFound:
                return "/".join(parts[:place]), parts[place:]
    return path, []


def _to_tree(root: str, listed: list[fs.FileInfo]) -> Tree:
    """Builds a tree from a file list. A name maps to a file; a name that ends with `/` maps to the tree of a folder."""
    tree: Tree = {}
    for each in listed:
        if each.type == fs.FileType.File:
            *folders, name = each.path[len(root) :].lstrip("/").split("/")
            folder = tree
            for part in folders:
                folder = folder.setdefault(f"{part}/", {})
            folder[name] = each
    return tree


def _walk(tree: Tree) -> Iterator[Tree]:
    """Yields the folder itself and all visible folders below it."""
    yield tree
    for name, each in tree.items():
        if name.endswith("/") and _is_visible(name):
            yield from _walk(each)


def _files(tree: Tree) -> Iterator[fs.FileInfo]:
    return (each for name, each in tree.items() if not name.endswith("/") and _is_visible(name))


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "_"))


def _match(tree: Tree, pattern: list[str]) -> Iterator[fs.FileInfo]:
    """Yields the files below a folder whose path components match the patterns."""
    if not pattern:
        return
    part, *rest = pattern
    if part == "**" and rest:
        for folder in _walk(tree):
            yield from _match(folder, rest)
        return
    end = "/" if rest else ""
    names = [f"{part}{end}"]
    if names[0] not in tree:
        kind = (name for name in tree if name.endswith("/") == bool(rest) and _is_visible(name))
        names = [name for name in kind if fnmatchcase(name.removesuffix("/"), part)]
    for name in names:
        yield from _match(tree[name], rest) if rest else [tree[name]]


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
    """Reads the endpoint from the environment variables of the AWS tools; pyarrow itself finds the credentials."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        return fs.S3FileSystem(scheme=scheme, endpoint_override=host.rstrip("/"))
    if "AWS_REGION" in os.environ or "AWS_DEFAULT_REGION" in os.environ:
        return fs.S3FileSystem()
    return fs.S3FileSystem(region=fs.resolve_s3_region(bucket))
