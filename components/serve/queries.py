"""What requests ask for, checked against the bounds."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.serve.parameters import ServeParameters

# Inputs of each signature of the index, in the order of their description.
SIGNATURES = {
    "serving_default": ("item_ids",),
    "recommend": ("item_ids", "k", "exclude_ids"),
    "known": ("item_ids",),
    "similarity": ("item_ids", "other_ids"),
}
RANKING = ("serving_default", "recommend")
MAX_SIMILARITIES = 100_000


class RequestError(Exception):
    """A request cannot be answered. The message says what was expected.

    Args:
        message: the message.
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Query:
    """A request to one signature.

    Attributes:
        signature: name of the signature.
        item_ids: ids of each session, oldest first, of any lengths.
        ks: number of items for each session; None for the index's own.
        other_ids: for each session, the ids to exclude, or to compare with for the signature `similarity`.
    """

    signature: str
    item_ids: list[list[str]]
    ks: list[int] | None
    other_ids: list[list[str]]


def make_query(signature: str, values: dict[str, Any], bounds: ServeParameters) -> Query:
    """Checks the inputs of a request.

    Args:
        signature: name of the signature; empty for `serving_default`.
        values: the inputs by name, as JSON gives them: lists of ids for each session, and a k for each.
        bounds: what is allowed.

    Raises:
        RequestError: the signature is unknown, an input is missing, unknown, of another form or out of bounds.
    """
    names = get_inputs(signature)
    signature = signature or "serving_default"
    unknown = [name for name in values if name not in names]
    if unknown:
        raise RequestError(
            f"Expected the inputs {', '.join(names)} of the signature {signature}. Received: {show(unknown[0])}"
        )
    item_ids = _check_ids("item_ids", values.get("item_ids"), None, bounds)
    other = {"recommend": "exclude_ids", "similarity": "other_ids"}.get(signature)
    optional = [[""]] * len(item_ids) if other == "exclude_ids" else None
    other_ids = _check_ids(other, values.get(other, optional), len(item_ids), bounds) if other else []
    ks = _check_ks(values["k"], len(item_ids), bounds) if "k" in values else None
    if signature == "similarity":
        check_similarities(len(item_ids) * max(map(len, item_ids)) * max(map(len, other_ids)))
    return Query(signature=signature, item_ids=item_ids, ks=ks, other_ids=other_ids)


def check_similarities(num_values: int) -> None:
    """Checks the number of similarities in an answer.

    Raises:
        RequestError: there are too many.
    """
    if num_values > MAX_SIMILARITIES:
        raise RequestError(f"Expected at most {MAX_SIMILARITIES} similarities in an answer. Received: {num_values}")


def get_inputs(signature: str) -> tuple[str, ...]:
    """Returns the names of a signature's inputs.

    Raises:
        RequestError: there is no such signature.
    """
    if (signature or "serving_default") not in SIGNATURES:
        raise RequestError(f"Expected signature_name to be one of {', '.join(SIGNATURES)}. Received: {show(signature)}")
    return SIGNATURES[signature or "serving_default"]


def _check_ids(name: str, value: Any, num_rows: int | None, bounds: ServeParameters) -> list[list[str]]:
    if not isinstance(value, list):
        raise RequestError(f"Expected {name} to be a list of item ids for each session. Received: {show(value)}")
    if not 1 <= len(value) <= bounds.max_rows:
        raise RequestError(f"Expected from 1 to {bounds.max_rows} sessions in a request. Received: {len(value)}")
    if num_rows is not None and len(value) != num_rows:
        raise RequestError(f"Expected {name} for each of the {num_rows} sessions. Received: {len(value)}")
    return [_check_row(name, row, bounds) for row in value]


def _check_row(name: str, row: Any, bounds: ServeParameters) -> list[str]:
    if not isinstance(row, list):
        raise RequestError(f"Expected {name} of a session to be a list of item ids. Received: {show(row)}")
    if len(row) > bounds.max_session_length:
        raise RequestError(
            f"Expected at most {bounds.max_session_length} {name} in a session. Received: {len(row)}. "
            "The model reads the newest items of a session; leave out the oldest."
        )
    ids = [each if isinstance(each, str) else decode(name, each) for each in row]
    for each in ids:
        # Half of a surrogate pair, which JSON can escape, is no character and no UTF-8.
        if not each.isascii() and any("\ud800" <= character <= "\udfff" for character in each):
            raise RequestError(f"Expected {name} to be valid Unicode. Received: {show(each)}")
    return ids


def decode(name: str, value: Any) -> str:
    """Decodes an id that JSON holds as {"b64": "..."}.

    Raises:
        RequestError: it is something else.
    """
    if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"Expected {name} to be UTF-8 in base64. Received: {show(value)}") from error
    raise RequestError(f"Expected {name} to be texts. Received: {show(value)}")


def _check_ks(value: Any, num_rows: int, bounds: ServeParameters) -> list[int]:
    ks = value if isinstance(value, list) else [value]
    if len(ks) == 1:
        ks = ks * num_rows
    if len(ks) != num_rows:
        raise RequestError(f"Expected k for each of the {num_rows} sessions, or one. Received: {len(ks)}")
    for k in ks:
        if type(k) is not int or not 1 <= k <= bounds.max_k:
            raise RequestError(f"Expected k to be an integer from 1 to {bounds.max_k}. Received: {show(k)}")
    return ks


def show(value: Any) -> str:
    """Returns the beginning of a value, in ASCII, for an error message."""
    if isinstance(value, (list, dict)) and len(value) > 3:
        return f"{type(value).__name__} with {len(value)} elements"
    text = ascii(value if not isinstance(value, str) else value[:60])
    return text if len(text) <= 80 else f"{text[:80]}..."


def pad(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pads rows with "" to the length of the longest one, at least 1."""
    width = max(1, *map(len, rows))
    return [[*row, *[""] * (width - len(row))] for row in rows]
