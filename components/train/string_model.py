"""The SavedModel that training writes: both towers, with string ids as inputs."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.sequences import PADDING
from components.core.vocabulary import UNKNOWN
from components.train.model import TwoTower

BATCH_SIZE = 65_536  # ids


class Lookup(tf.Module):
    """Maps each id of a vocabulary to its index, from 1, and any other string to UNKNOWN.

    The table is read from a text file with one id per line, an asset of the SavedModel. Ids may contain line breaks, so
    the file and the lookup encode them as Base64 (RFC 4648, section 5) with a built-in TensorFlow op.

    Args:
        ids: [num_ids] distinct strings.
        path: text file to write.
    """

    def __init__(self, ids: pa.StringArray, path: Path) -> None:
        super().__init__()
        with path.open("wb") as file:
            for begin in range(0, len(ids), BATCH_SIZE):
                encoded = tf.io.encode_base64(tf.constant(ids.slice(begin, BATCH_SIZE).to_pylist()))
                file.writelines(line + b"\n" for line in encoded.numpy())
        whole_line, line_number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        initializer = tf.lookup.TextFileInitializer(str(path), tf.string, whole_line, tf.int64, line_number)
        self.table = tf.lookup.StaticHashTable(initializer, default_value=UNKNOWN - 1)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def find(self, ids: tf.Tensor) -> tf.Tensor:
        """Looks up indices [num_ids] int32 of strings [num_ids]."""
        return tf.cast(self.table.lookup(tf.io.encode_base64(ids)), tf.int32) + 1


class StringModel(tf.Module):
    """Both towers with string ids as inputs and the vocabulary included; loading it requires only TensorFlow.

    Signatures of the SavedModel:
        query: session_id [batch_size], item_ids [batch_size, length] (oldest first, "" is padding at any position)
            -> embedding [batch_size, dimension], bonus [batch_size, length]. Only the `session_id` tower reads
            session_id. The score of an item is the dot product of both embeddings, plus, if the item is in the session,
            the bonus of its newest place. The bonus is 0 at all other places, and everywhere without a pointer.
        candidate: item_ids [batch_size] -> embedding [batch_size, dimension].

    Args:
        model: the trained model.
        item_ids: [num_items] ids of the vocabulary, in index order.
        session_ids: [num_sessions] ids of the training sessions for the `session_id` tower; None for other towers.
        files_dir: folder for the lookup files, which must exist until the model is saved.
    """

    def __init__(
        self, model: TwoTower, *, item_ids: pa.StringArray, session_ids: pa.StringArray | None, files_dir: Path
    ) -> None:
        super().__init__()
        self.model = model
        self.max_length = model.parameters.max_session_length
        self.items = Lookup(item_ids, files_dir / "item_ids.txt")
        self.sessions = None if session_ids is None else Lookup(session_ids, files_dir / "session_ids.txt")

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.string, "session_id"),
            tf.TensorSpec([None, None], tf.string, "item_ids"),
        ],
    )
    def query(self, session_id: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds sessions; an empty session is treated as a single unknown item."""
        is_item = item_ids != ""
        num_later = tf.cumsum(tf.cast(is_item, tf.int32), axis=1, reverse=True, exclusive=True)
        is_read = is_item & (num_later < self.max_length)
        history = tf.ragged.boolean_mask(item_ids, is_read)
        items = history.with_values(self.items.find(history.values)).to_tensor(PADDING)
        items = tf.pad(items, [[0, 0], [0, 1]], constant_values=PADDING)
        is_empty = (items == PADDING) & (tf.range(tf.shape(items)[1]) == 0)
        items = tf.where(is_empty, UNKNOWN, items)
        session = tf.zeros_like(session_id, tf.int32) if self.sessions is None else self.sessions.find(session_id)
        embedding, bonus = self.model.query(session, items)
        # Back to the places of the input.
        bonus = tf.RaggedTensor.from_tensor(bonus, lengths=history.row_lengths()).flat_values
        places = tf.where(is_read)
        return {"embedding": embedding, "bonus": tf.scatter_nd(places, bonus, tf.shape(item_ids, places.dtype))}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, "item_ids")])
    def candidate(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds items; an item outside the vocabulary gets the embedding of the unknown item."""
        return {"embedding": self.model.embed_items(self.items.find(item_ids))}


def save_model(
    model: TwoTower, *, item_ids: pa.StringArray, session_ids: pa.StringArray | None, model_dir: Path
) -> None:
    """Saves the model to a temporary folder, loads it, checks the index of every id, and copies it to `model_dir`.

    Args:
        model: the trained model.
        item_ids: [num_items] ids of the vocabulary, in index order.
        session_ids: [num_sessions] ids of the training sessions for the `session_id` tower; None for other towers.
        model_dir: folder to write the SavedModel to.

    Raises:
        RuntimeError: the saved model maps an id to a wrong index; nothing is written.
    """
    with tempfile.TemporaryDirectory() as scratch, literal_path(Path(scratch)) as folder:
        draft = Path(folder, "model")
        saved = StringModel(model, item_ids=item_ids, session_ids=session_ids, files_dir=Path(folder))
        tf.saved_model.save(saved, str(draft), signatures={"query": saved.query, "candidate": saved.candidate})
        loaded = tf.saved_model.load(str(draft))
        _check_indices(loaded.items, item_ids)
        if session_ids is not None:
            _check_indices(loaded.sessions, session_ids)
        shutil.copytree(draft, model_dir, dirs_exist_ok=True)


def _check_indices(lookup: Lookup, ids: pa.StringArray) -> None:
    for begin in range(0, len(ids), BATCH_SIZE):
        part = ids.slice(begin, BATCH_SIZE).to_pylist()
        expected, found = np.arange(begin + 1, begin + 1 + len(part)), lookup.find(tf.constant(part)).numpy()
        if (found != expected).any():
            first = int(np.flatnonzero(found != expected)[0])
            raise RuntimeError(
                "The saved model must give each id its own index, and the model is not written. "
                f"Expected {expected[first]} for the id {part[first][:100]!r}. Received: {found[first]}"
            )
