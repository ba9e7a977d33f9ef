import pytest

from components.train.parameters import TrainParameters


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"query_tower": "bert"}, "Expected query_tower to be one of session_id, .* Received: 'bert'"),
        ({"loss": "hinge"}, "Expected loss to be one of"),
        ({"optimizer": "sgd"}, "Expected optimizer to be one of adam, adagrad. Received: 'sgd'"),
        ({"embedding_dim": 0}, "Expected embedding_dim to be at least 1. Received: 0"),
        ({"temperature": 0.0}, "Expected temperature to be above 0. Received: 0.0"),
        ({"trend_weight": 1.5}, "Expected trend_weight to be from 0 to 1. Received: 1.5"),
        ({"dropout": 1.0}, "Expected dropout to be at least 0 and below 1. Received: 1.0"),
        (
            {"query_tower": "attention", "embedding_dim": 9},
            "Expected embedding_dim to be a multiple of the number of attention heads, 2. Received: 9",
        ),
        ({"query_tower": "session_id", "loss": "sampled"}, "Expected loss to be in_batch with the session_id tower"),
    ],
)
def test_what_is_wrong_is_said(setting, message):
    with pytest.raises(ValueError, match=message):
        TrainParameters(**setting)
