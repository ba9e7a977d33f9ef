import pytest
import yaml
from factories import make_events

from components.core.events import write_split
from pipeline.configuration import effective_values, make_config
from pipeline.run_options import OPTIONS, make_local_run
from pipeline.tasks import Tasks


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """Files in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c", "log.csv"):
        (tmp_path / name).write_text("x")
    return tmp_path


def choose(config, *settings, preset="", **options):
    return make_local_run({**dict.fromkeys(OPTIONS), **options}, settings, preset, Tasks(), config=config)


def write(folder, text):
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_a_file_sets_parameters_and_a_setting_overrides_it(logs):
    path = write(
        logs,
        "log_path: log.csv\nas_of: 2015-09-18\nlearning_rate: 1e-3\ndropout: 0\nmax_epochs: 3\n"
        "event_types: [view, '0']\n",
    )
    run = choose(path, "max_epochs=4")
    assert run.pipeline.name == "two-tower-retraining"
    assert run.arguments == {
        "log_path": str(logs / "log.csv"), "as_of": "2015-09-18", "learning_rate": 0.001, "dropout": 0.0,
        "max_epochs": 4, "event_types": ["view", "0"],
    }  # fmt: skip


def test_a_file_overrides_the_preset(logs):
    arguments = choose(write(logs, "embedding_dim: 8\n"), preset="sample").arguments
    assert (arguments["embedding_dim"], arguments["num_negatives"]) == (8, 512)


@pytest.mark.parametrize("raw", [False, True])
def test_what_a_run_has_written_starts_the_same_run(logs, raw):
    options = {"log_path": "log.csv"} if raw else {"train_path": "a", "valid_path": "b", "test_path": "c"}
    write_split(make_events({"s": ["i"]}), logs / "events", "train")
    first = choose(None, "max_epochs=2", "evaluate_ks=5,20", "previous_events=events", **options)
    inputs = first.pipeline.component_spec.inputs
    text = make_config(inputs, first.arguments, preset=first.preset)
    again = choose(write(logs, text))
    assert again.pipeline is first.pipeline
    assert effective_values(inputs, again.arguments) == effective_values(inputs, first.arguments)
    written = yaml.safe_load(text)
    assert written["max_epochs"] == 2
    assert written["batch_size"] == 1024  # a default
    assert "checkpoint_root" not in written
    assert again.inputs == first.inputs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_epoch: 3",
            r"run.yaml: Expected a parameter of the pipeline\. Received: 'max_epoch'\. Did you mean max_epochs",
        ),
        ("max_epochs: many", "run.yaml: Expected max_epochs to be of the type Integer. Received: 'many'"),
        ("dropout: high", "run.yaml: Expected dropout to be of the type Float. Received: 'high'"),
        ("refit: 1", "run.yaml: Expected refit to be of the type Boolean. Received: 1"),
        ("window_days: 3", r"Received: 'window_days'\. Only the pipeline over a raw log \(--events\) has it"),
        (
            "checkpoint_root: /elsewhere",
            "run.yaml: The run sets checkpoint_root itself, to a folder in --output. Omit it",
        ),
        ("records_uri: /elsewhere", "run.yaml: The run sets records_uri itself"),
        (
            "log_path: log.csv\nsample_fraction: 0.5",
            r"Only the pipeline over split logs \(--train, --valid, --test\) has it",
        ),
        ("- a", "to map parameters to values, such as `max_epochs: 4`. Received: list"),
        ("", "Received: NoneType"),
        (
            "max_epochs: 3\ndropout: 0.1\nmax_epochs: 4",
            "Expected each key once in .*run.yaml. Received: 'max_epochs' in line 1 and again in line 3",
        ),
        ("a: [", "Expected .*run.yaml to be YAML. Received: "),
        ("loss: hinge", "Expected loss to be one of in_batch, .* Received: 'hinge'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(logs, text, message):
    with pytest.raises(ValueError, match=message):
        choose(write(logs, text))


def test_a_missing_file_is_said(logs):
    with pytest.raises(FileNotFoundError, match=r"Expected --config to be a YAML file\. Received: .*nowhere"):
        choose(logs / "nowhere")
