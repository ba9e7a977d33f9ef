import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from lookup_model import LookupModel, save_model

from components.export.step import export

PAGE = Path(__file__).parents[2] / "docs" / "vector-stores.md"


@pytest.mark.slow
def test_faiss_finds_the_items_of_the_index(make_artifacts, tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    item_ids = [f"i{number}" for number in range(300)]
    artifacts = make_artifacts(train={"s": item_ids}, test={"t": item_ids[:5]})
    output = tmp_path / "output"
    save_model(LookupModel(item_ids), output / "model")
    export(*artifacts, output / "model", output / "index", output / "embeddings.parquet")
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)  # noqa: S102
    index = tf.saved_model.load("output/index").signatures["recommend"]
    answer = index(item_ids=tf.constant(names["sessions"]), k=tf.constant([10]), exclude_ids=tf.fill([2, 1], ""))
    assert (names["bonuses"] != 0).tolist() == [[False, True, True, True], [True, False, False, False]]
    assert [[item.decode() for item in row] for row in answer["item_ids"].numpy()] == names["item_ids"]
    np.testing.assert_allclose(names["scores"], answer["scores"].numpy(), atol=1e-5)
