"""Starts a training from the weights of an earlier model, whose catalogue may differ."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
from scipy import sparse

from components.core.literal_paths import literal_path
from components.core.presentation import show_time
from components.core.saved_model import read_training
from components.core.sequences import Sessions
from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import TOWERS, VOCABULARY, Manifest
from components.core.vocabulary import UNKNOWN, Vocabulary
from components.train.model import TwoTower
from components.train.parameters import TrainParameters
from components.train.towers import LastItemTower

# The parameters that decide which variables there are, and of which shapes.
SHAPING = ("query_tower", "embedding_dim", "normalize", "pointer", "max_session_length")
SUCCESSORS = "model/successors/successors/.ATTRIBUTES/VARIABLE_VALUE"
CHUNK = 65_536  # sessions whose rows are averaged at a time

Rows = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The published model that a training starts from.

    Attributes:
        manifest: the manifest of its version.
        folder: a copy of its towers and its vocabulary.
    """

    manifest: Manifest
    folder: Path

    @classmethod
    def fetch(cls, uri: str, folder: Path) -> "Published | None":
        """Copies the newest version to a local folder.

        Args:
            uri: the serving location.
            folder: folder to copy the towers and the vocabulary to.

        Returns:
            None if the location holds no version yet.

        Raises:
            ServingError: the location cannot be read, or the version is damaged.
            ValueError: there is no serving location, or the manifest does not say until when the model was trained.
        """
        if not uri:
            raise ValueError("Expected serving_uri with warm_start=true. Received: no serving location")
        versions = list_versions(uri)
        if not versions:
            logger.info("%s holds no version yet. The training starts from random weights.", uri)
            return None
        trained_until = versions[-1].document["trained_until"]
        if type(trained_until) is not int:
            raise ValueError(
                f"Expected trained_until of version {versions[-1].version} in ms. Received: {trained_until!r}"
            )
        fetch(open_location(uri), versions[-1], "model", folder)
        logger.info("The training starts from version %d in %s.", versions[-1].version, uri)
        return cls(manifest=versions[-1], folder=folder)

    @property
    def trained_until(self) -> int:
        """Time of the newest event that the model was trained on, in milliseconds since 1970."""
        return int(self.manifest.document["trained_until"])

    @property
    def pointer(self) -> npt.NDArray[np.float32] | None:
        """[NUM_FEATURES] weights of its pointer that were fitted to sessions it had not seen; None for no such fit."""
        weights = read_training(self.folder / TOWERS)["pointer"]
        return None if weights is None else np.array(weights, np.float32)

    def check_unseen(self, first_time: int) -> None:
        """Checks that the model was trained on no session of the test split.

        Args:
            first_time: time of the first event of the split, in milliseconds since 1970.

        Raises:
            ValueError: it was, so a model that starts from it could not be evaluated.
        """
        if self.trained_until >= first_time:
            raise ValueError(
                f"Expected a published model that was trained until before {show_time(first_time)}, where the test "
                f"split begins. Received: version {self.manifest.version}, trained until "
                f"{show_time(self.trained_until)}. It knows test sessions, so a model that starts from it cannot be "
                "evaluated on them. Use newer events, or set warm_start=false"
            )

    def read(
        self, vocabulary: Vocabulary, sessions: Sessions, parameters: TrainParameters
    ) -> Callable[[TwoTower], None]:
        """Reads the weights and fits the item tables to another vocabulary.

        Rows of items that both vocabularies know move to their new indices, as does the row of the unknown item. The
        row of a new item is the mean of the rows of the known items in its sessions, each as often as it stands there.
        An item that no session holds together with a known one keeps its random row. The vectors of what
        follows an item move too; those of new items are 0. All other weights carry over, and the optimizer starts anew.

        Args:
            vocabulary: the vocabulary of the training.
            sessions: the training sessions.
            parameters: the parameters of the training.

        Returns:
            A function that gives these weights to a model whose variables are built.

        Raises:
            ValueError: the published model was trained with other parameters and has other variables.
        """
        trained = read_training(self.folder / TOWERS)["parameters"]
        for name in SHAPING:
            if trained[name] != getattr(parameters, name):
                raise ValueError(
                    f"Expected {name}={trained[name]!r} for a warm start, as in version {self.manifest.version}. "
                    f"Received: {getattr(parameters, name)!r}. Set warm_start=false to train a model of another shape"
                )
        known = Vocabulary.read(self.folder / VOCABULARY)
        # The size of the successors' table depends on counts that the published model does not say.
        earlier = TwoTower(replace(parameters, successor_half_count=0.0), counts=known.counts, num_sessions=0)
        earlier.build_variables()
        checkpoint = tf.train.Checkpoint(model=tf.train.Checkpoint(**earlier.parts))
        with literal_path(self.folder / TOWERS) as path:
            variables = f"{path}/variables/variables"
            checkpoint.read(variables).assert_existing_objects_matched().expect_partial()
            reader = tf.train.load_checkpoint(variables)
            successors = reader.get_tensor(SUCCESSORS) if reader.has_tensor(SUCCESSORS) else None
        if successors is not None and not parameters.successor_half_count:
            raise ValueError(
                f"Expected successor_half_count above 0 for a warm start, since version {self.manifest.version} knows "
                "what follows an item. Received: 0. Set warm_start=false to train a model without"
            )
        moved = np.append(UNKNOWN, known.encode(pa.chunked_array([vocabulary.item_ids])))
        is_known = (moved != UNKNOWN) | (np.arange(len(moved)) == UNKNOWN)

        def start(model: TwoTower) -> None:
            tables = _list_tables(earlier)
            for variable, found in zip(_list_variables(model), _list_variables(earlier), strict=True):
                if any(found is table for table in tables):
                    rows = np.where(is_known[:, np.newaxis], found.numpy()[moved], variable.numpy())
                    variable.assign(_fill(rows, is_known, sessions))
                else:
                    variable.assign(found)
            if model.successors is not None and successors is not None:
                _move_successors(model.successors.table, successors, moved)

        return start


def _move_successors(table: tf.Variable, found: Rows, moved: npt.NDArray[np.int32]) -> None:
    """Moves the rows of items that have one in both tables; the others stay 0."""
    rows = table.numpy()
    places = moved[: len(rows)]
    has_row = (places != UNKNOWN) & (places < len(found))
    rows[has_row] = found[places[has_row]]
    table.assign(rows)


def _list_variables(model: TwoTower) -> list[tf.Variable]:
    return [variable for name, part in model.parts.items() if name != "successors" for variable in part.variables]


def _list_tables(model: TwoTower) -> list[tf.Variable]:
    """Returns the variables with a row for each item."""
    tables = [model.candidate_tower.table]
    if isinstance(model.query_tower, LastItemTower):
        tables.append(model.query_tower.embedding.embeddings)
    return tables


def _fill(rows: Rows, is_known: npt.NDArray[np.bool_], sessions: Sessions) -> Rows:
    """Replaces the rows of new items by the mean of the known items' rows in their sessions.

    Args:
        rows: [num_items + 1, dimension].
        is_known: [num_items + 1]; False for a new item.
        sessions: the sessions.
    """
    usable = is_known.copy()
    usable[UNKNOWN] = False
    total, num_known = np.zeros_like(rows), np.zeros(len(rows))
    for begin in range(0, sessions.num_sessions, CHUNK):
        offsets = sessions.offsets[begin : begin + CHUNK + 1]
        items = sessions.items[offsets[0] : offsets[-1]]
        session = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        is_read, is_new = usable[items], ~is_known[items]
        pairs = sparse.csr_array(
            (np.ones(is_read.sum(), np.float32), (session[is_read], items[is_read])),
            shape=(len(offsets) - 1, len(rows)),
        )
        holders = sparse.csr_array(
            (np.ones(is_new.sum(), np.float32), (items[is_new], session[is_new])), shape=(len(rows), len(offsets) - 1)
        )
        counts = holders @ pairs  # how often each new item shares a session with each known one
        total += counts @ rows
        num_known += counts.sum(axis=1)
    found = num_known > 0
    rows[found] = total[found] / num_known[found, np.newaxis]
    return rows
