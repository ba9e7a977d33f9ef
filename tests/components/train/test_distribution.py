import json

import pytest
import tensorflow as tf

from components.core.sequences import PADDING, Sessions, Windows
from components.train import distribution
from components.train.parameters import TrainParameters
from components.train.trainer import make_dataset


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("{", "'{'"),
        ('["worker"]', "worker"),
        (json.dumps({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}), "ps"),
    ],
)
def test_a_wrong_configuration_is_an_error(monkeypatch, text, received):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=f"Expected .*TF_CONFIG.* Received: .*{received}"):
        distribution.make_strategy()


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"cluster": {"chief": ["a:1"]}, "task": {"type": "chief"}})])
def test_one_worker_trains_alone_and_writes(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    strategy = distribution.make_strategy()
    assert strategy is tf.distribute.get_strategy()
    assert distribution.is_chief(strategy)
    assert distribution.take_from_chief(strategy, [1.5, 2.0]) == [1.5, 2.0]


@pytest.mark.parametrize(("task_type", "task_id", "expected"), [("chief", 0, True), ("worker", 0, False)])
def test_the_chief_writes_where_there_is_one(task_type, task_id, expected):
    spec = tf.train.ClusterSpec({"chief": ["a:1"], "worker": ["b:1"]})

    class Strategy:
        cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            spec, task_type=task_type, task_id=task_id
        )

    assert distribution.is_chief(Strategy()) == expected


def test_shares_of_a_batch_make_up_the_batch(data):
    parameters = TrainParameters()
    windows = Windows.cut(data, max_length=8)

    def read(num_replicas, pipelines):
        datasets = [
            iter(
                make_dataset(
                    data, windows, parameters, 64, first_epoch=0,
                    replicas=tf.distribute.InputContext(pipelines, pipeline, num_replicas),
                )
            )
            for pipeline in range(pipelines)
        ]  # fmt: skip
        num_here = num_replicas // pipelines
        return [[next(dataset) for dataset in datasets for _ in range(num_here)] for _ in range(20)]

    for whole, *others in zip(read(1, 1), read(4, 1), read(4, 2), read(4, 4), strict=True):
        rows = sorted(map(tuple, tf.concat([whole[0]["items"], whole[0]["targets"]], axis=1).numpy()))
        for shares in others:
            assert len(shares) == 4
            joined = [tf.concat([share["items"], share["targets"]], axis=1).numpy() for share in shares]
            width = joined[0].shape[1] // 2
            # One without a session of its own has no target.
            kept = [tuple(row) for part in joined for row in part if (row[width:] != PADDING).any()]
            assert sorted(kept) == rows


@pytest.fixture
def data(small_artifacts):
    from components.core.events import read_split
    from components.core.vocabulary import Vocabulary

    events_dir, vocabulary_path = small_artifacts
    return Sessions.encode(read_split(events_dir, "train"), Vocabulary.read(vocabulary_path))
