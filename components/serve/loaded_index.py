"""An index in memory, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from components.core.saved_model import list_catalogue, load_index, read_meta_graph
from components.serve.queries import SIGNATURES, pad

WARM_UP_SHAPES = ((1, 1), (1, 20), (8, 20), (64, 20))  # sessions and items
NUM_WARM_UP_ITEMS = 100  # the most popular ones


@dataclass(frozen=True)
class Ranked:
    """The best items of each session.

    Attributes:
        item_ids: [num_sessions, width] ids, best first; "" is padding.
        scores: of the same shape.
    """

    item_ids: list[list[str]]
    scores: list[list[float]]


class LoadedIndex:
    """An index that has answered requests and can be asked from any thread.

    Args:
        folder: the SavedModel; it is not needed any more once this has returned.
        version: its number.
        key: identifies its content.

    Attributes:
        version: its number.
        key: identifies its content.
        serving_k: number of items that it returns by default.
        catalogue: ids of all items, from the most popular one.
        signature_def: its signatures as TensorFlow Serving describes them.

    Raises:
        ValueError: the SavedModel is no index.
        OSError: it cannot be read.
        RuntimeError: it does not answer.
    """

    def __init__(self, folder: Path, *, version: int, key: str = "") -> None:
        self.version = version
        self.key = key
        self._signatures = load_index(folder, signatures=SIGNATURES).signatures
        self.signature_def = _describe_signatures(folder)
        try:
            self.catalogue = list_catalogue(self._signatures)
            self.serving_k = self.call("serving_default", [[""]])["item_ids"].shape[1]
            self._warm_up()
        except tf.errors.OpError as error:
            raise RuntimeError(f"The index does not answer: {error.message}") from error

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return len(self.catalogue)

    def _warm_up(self) -> None:
        known = self.catalogue[:NUM_WARM_UP_ITEMS].to_pylist()
        for num_sessions, length in WARM_UP_SHAPES:
            places = np.arange(num_sessions)[:, None] + np.arange(length)
            sessions = [[known[place % len(known)] for place in row] for row in places]
            self.call("serving_default", sessions)
            self.call("recommend", sessions, [[""]] * num_sessions, ks=[self.serving_k] * num_sessions)
        self.call("similarity", [known[:2]], [known[:3]])

    def call(
        self,
        signature: str,
        item_ids: Sequence[Sequence[str]],
        other_ids: Sequence[Sequence[str]] = (),
        *,
        ks: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Calls a signature.

        Args:
            signature: name of the signature.
            item_ids: ids of each session, of any lengths.
            other_ids: for each session, the ids to exclude or to compare with, of any lengths.
            ks: number of items for each session.

        Returns:
            The outputs as arrays; texts are bytes.
        """
        inputs = {"item_ids": _to_tensor(item_ids)}
        if signature == "recommend":
            inputs["k"] = tf.constant(np.asarray(ks, np.int32))
        if other_ids:
            inputs[SIGNATURES[signature][-1]] = _to_tensor(other_ids)
        return {name: output.numpy() for name, output in self._signatures[signature](**inputs).items()}

    def rank(
        self, item_ids: Sequence[Sequence[str]], ks: Sequence[int], exclude_ids: Sequence[Sequence[str]]
    ) -> Ranked:
        """Returns the best items of each session; see the signature `recommend`."""
        answer = self.call("recommend", item_ids, exclude_ids, ks=ks)
        return Ranked(
            [[each.decode() for each in row] for row in answer["item_ids"].tolist()], answer["scores"].tolist()
        )


def _to_tensor(rows: Sequence[Sequence[str]]) -> Any:
    return tf.constant(np.array([[each.encode() for each in row] for row in pad(rows)], dtype=object))


def _describe_signatures(folder: Path) -> dict[str, Any]:
    return {
        name: json_format.MessageToDict(
            definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for name, definition in read_meta_graph(folder).signature_def.items()
        if not name.startswith("__")
    }
