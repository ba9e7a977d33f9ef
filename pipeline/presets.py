"""Named sets of parameter values. They do not depend on the log."""

from typing import Any

DEFAULT = "default"  # of all commands, unless another one is given
SAMPLE = "sample"

PRESETS: dict[str, dict[str, Any]] = {
    # The defaults of the components' signatures, chosen on RetailRocket.
    DEFAULT: {},
    # For the generated log, which is small: a small model.
    SAMPLE: {
        "embedding_dim": 64,
        "num_negatives": 512,
        "max_epochs": 6,
        "refit": False,
    },
    # The settings of the tutorial notebook that this project started from.
    "notebook": {
        "sample_fraction": 0.3,
        "sample_unit": "events",
        "query_tower": "session_id",
        "embedding_dim": 32,
        "normalize": False,
        "loss": "in_batch",
        "pointer": False,
        "successor_half_count": 0.0,
        "correct_sampling": False,
        "remove_accidental_hits": False,
        "temperature": 1.0,
        "dropout": 0.0,
        "mask_rate": 0.0,
        "trend_weight": 0.0,
        "optimizer": "adagrad",
        "learning_rate": 0.1,
        "learning_rate_schedule": "constant",
        "batch_size": 8192,
        "min_steps_per_epoch": 0,
        "max_epochs": 3,
        "patience": 3,
        "refit": False,
        "evaluate_ks": [1, 5, 10, 50, 100],
    },
}


def get_preset(name: str) -> dict[str, Any]:
    """Returns the parameters of a preset.

    Raises:
        ValueError: the preset is unknown.
    """
    if name not in PRESETS:
        raise ValueError(f"Expected a preset, one of {', '.join(PRESETS)}. Received: {name!r}")
    return dict(PRESETS[name])
