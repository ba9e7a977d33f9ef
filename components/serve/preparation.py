"""What is checked and opened before TensorFlow is imported, so that wrong input is seen at once."""

import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from components.core.run_artifacts import find_index
from components.core.serving.location import check_uri
from components.serve.items import read_titles
from components.serve.parameters import ServeParameters

NUM_OTHER_FILES = 128  # open files beside the connections


@dataclass(frozen=True)
class Prepared:
    """What the server begins with.

    Attributes:
        titles: titles of items by their ids.
        num_repeated_titles: number of items with several titles, of which the first counts.
        listener: the socket to accept connections from.
    """

    titles: dict[str, str]
    num_repeated_titles: int
    listener: socket.socket


def prepare(parameters: ServeParameters) -> Prepared:
    """Checks the input and takes the port, where connections are refused until the server listens.

    Raises:
        FileNotFoundError: the file with the titles, or the local folder, does not exist.
        ValueError: the address of the serving location or the file with the titles is none, or the folder holds a
            trained model.
        OSError: the address cannot be listened on, or too few files may be open for the connections.
    """
    if find_index_dir(parameters.serving) is None:
        check_uri(parameters.serving)
        if "://" not in parameters.serving and not Path(parameters.serving).is_dir():
            raise FileNotFoundError(
                "Expected a serving location, the output folder of a run, or an index, a folder with saved_model.pb. "
                f"Received: {parameters.serving}, which does not exist"
            )
    titles: dict[str, str] = {}
    num_repeated = 0
    if parameters.items:
        titles, num_repeated = read_titles(
            parameters.items, item_column=parameters.item_column, title_column=parameters.title_column
        )
    _allow_open_files(parameters.max_connections + NUM_OTHER_FILES)
    return Prepared(titles, num_repeated, _listen(parameters.host, parameters.port))


def find_index_dir(serving: str) -> Path | None:
    """Returns the folder of an index that has no versions: the location itself, or `index` in a run's output folder.

    None if the address is one of a serving location.

    Raises:
        ValueError: the folder holds a trained model.
    """
    if "://" in serving:
        return None
    try:
        return find_index(Path(serving))
    except FileNotFoundError:
        return None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise OSError(f"Expected to listen on {host}, port {port}. Received: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _allow_open_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        raise OSError(
            f"Expected {number} open files to be allowed, for the connections. Received: {hard}. Raise the limit "
            "(ulimit -n), or lower --max-connections."
        )
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
