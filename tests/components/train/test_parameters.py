import math

import pytest

from components.train.objectives import LOSSES
from components.train.parameters import LOSS_NAMES, QUERY_TOWER_NAMES, TrainParameters
from components.train.towers import QUERY_TOWERS


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"optimizer": "sgd"}, "Expected optimizer to be one of adam, adagrad. Received: 'sgd'"),
        ({"query_tower": "bert"}, "Expected query_tower to be one of session_id, .* Received: 'bert'"),
        ({"loss": "hinge"}, "Expected loss to be one of in_batch, .* Received: 'hinge'"),
        ({"query_tower": "attention", "embedding_dim": 9}, "Expected embedding_dim to be a multiple of 2, the heads"),
        ({"embedding_dim": 0}, "Expected embedding_dim to be at least 1. Received: 0"),
        ({"temperature": 0.0}, "Expected temperature to be finite and at least 0.0001. Received: 0.0"),
        ({"temperature": math.inf}, "Expected temperature to be finite"),
        ({"temperature": math.nan}, "Expected temperature to be finite"),
        ({"learning_rate": 0.0}, "Expected learning_rate to be finite and above 0. Received: 0.0"),
        ({"learning_rate": math.inf}, "Expected learning_rate to be finite"),
        ({"table_learning_rate": -0.1}, "Expected table_learning_rate to be finite and at least 0. Received: -0.1"),
        ({"table_learning_rate": math.inf}, "Expected table_learning_rate to be finite"),
        ({"successor_half_count": -1.0}, "Expected successor_half_count to be finite and at least 0. Received: -1.0"),
        ({"successor_half_count": math.inf}, "Expected successor_half_count to be finite and at least 0."),
        ({"trend_weight": 1.5}, "Expected trend_weight to be from 0 to 1. Received: 1.5"),
        ({"trend_weight": math.nan}, "Expected trend_weight to be from 0 to 1. Received: nan"),
        ({"dropout": 1.0}, "Expected dropout to be 0, or from 1e-05 to 0.99999. Received: 1.0"),
        ({"dropout": -0.1}, "Expected dropout to be 0, or from"),
        ({"dropout": 1e-9}, "Expected dropout to be 0, or from"),
        ({"input_dropout": 1 - 1e-9}, "Expected input_dropout to be 0, or from"),
        ({"mask_rate": 1e-9}, "Expected mask_rate to be 0, or from"),
        ({"mask_rate": math.nan}, "Expected mask_rate to be 0, or from"),
        ({"random_seed": 2**31}, "Expected random_seed to be from 0 to 2147483647. Received: 2147483648"),
        ({"random_seed": -1}, "Expected random_seed to be from 0 to"),
        ({"query_tower": "session_id", "loss": "sampled"}, "Expected loss to be in_batch with the session_id tower"),
        ({"min_steps_per_epoch": -1}, "Expected min_steps_per_epoch to be at least 0. Received: -1"),
        ({"loss": "in_batch"}, "Expected pointer to be false unless loss is full, or sampled with session_negatives"),
        ({"loss": "bpr_max"}, "Expected pointer to be false unless"),
        ({"session_negatives": False}, "Expected pointer to be false unless"),
    ],
)
def test_what_is_wrong_is_said(setting, message):
    with pytest.raises(ValueError, match=message):
        TrainParameters(**setting)


def test_the_names_are_those_of_the_tables():
    assert set(QUERY_TOWER_NAMES) == QUERY_TOWERS.keys()
    assert set(LOSS_NAMES) == LOSSES.keys()


@pytest.mark.parametrize(
    "setting",
    [
        {"loss": "full", "session_negatives": False},
        {"loss": "in_batch", "pointer": False},
        {"loss": "bpr_max", "pointer": False},
        {"session_negatives": False, "pointer": False},
    ],
)
def test_what_goes_together_is_taken(setting):
    assert setting.items() <= TrainParameters(**setting).to_dict().items()
