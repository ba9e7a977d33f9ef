"""The settings of compile, submit and schedule. Each is a command-line option and a key of a schedule file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline import presets
from pipeline.cluster.cron import Cron
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission, list_owners
from pipeline.compilation import PIPELINES, TARGETS, compile_pipeline
from pipeline.completion import complete_setting
from pipeline.layout_settings import LAYOUT_HELP, get_layout_settings
from pipeline.platform_settings import NO_SETTINGS, PlatformSettings
from pipeline.resources import FIELDS, KUBERNETES_FIELDS
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks

Command = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting.

    Attributes:
        name: key in a schedule file; the option is `--name` with hyphens.
        default: default value; other values must have the same type.
        help: help text of the option.
        attribute: name of the attribute of Tasks or Submission, if it differs.
        choices: the allowed values; empty for all.
        flag: the option, if it is not derived from the name.
        metavar: name of the option's value in the help text.
    """

    name: str
    default: Any
    help: str
    attribute: str = ""
    choices: tuple[str, ...] = ()
    flag: str = ""
    metavar: str | None = None

    def make_option(self) -> Callable[[Command], Command]:
        """Creates the command-line option; that of a list is repeatable."""
        is_list = isinstance(self.default, tuple)
        return click.option(
            self.flag or f"--{self.name.replace('_', '-')}",
            self.name,
            type=click.Choice(self.choices) if self.choices else str if is_list else type(self.default),
            default=self.default,
            multiple=is_list,
            metavar=self.metavar,
            show_default=self.default not in ("", ()),
            help=self.help,
        )

    def check(self, value: Any) -> None:
        """Checks a value of a schedule file.

        Raises:
            ValueError: the value has the wrong type or is not one of the choices.
        """
        if isinstance(self.default, tuple):
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise ValueError(f"Expected {self.name} to be a list of texts. Received: {value!r}")
            return
        if type(value) is not type(self.default):
            kind = type(self.default).__name__
            raise ValueError(f"Expected {self.name} to be of the type {kind}. Received: {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"Expected {self.name} to be one of {', '.join(self.choices)}. Received: {value!r}")


# Fixed at compile time: attributes of Tasks.
TASK_SETTINGS = (
    Setting(name="image", default=Tasks.image, help="Container image of all tasks, without a moving tag."),
    Setting(
        name="accelerator",
        default=Tasks.accelerator,
        help="Accelerator of the training: nvidia.com/gpu on kfp, NVIDIA_L4 on vertex, ...",
    ),
    Setting(
        name="accelerator_count",
        default=Tasks.num_accelerators,
        attribute="num_accelerators",
        help="Number of accelerators.",
    ),
    Setting(
        name="object_store_secret",
        default=Tasks.object_store_secret,
        help="kfp: name of the secret with the keys of an S3-compatible store.",
    ),
    Setting(
        name="webhook_secret",
        default=Tasks.webhook_secret,
        help="kfp: name of the secret with the webhook that is told how a retraining ended, TWO_TOWER_WEBHOOK_URL.",
    ),
    Setting(
        name="checkpoint_claim",
        default=Tasks.checkpoint_claim,
        help="kfp: name of the PersistentVolumeClaim for checkpoints.",
    ),
    Setting(
        name="search_rounds",
        default=Tasks.search_rounds,
        help="Number of rounds of trials, of the pipelines tuning and raw-tuning.",
    ),
    Setting(
        name="resource",
        default=Tasks.resources,
        attribute="resources",
        metavar="TASK.FIELD=VALUE",
        help=f"Change a resource of a task, such as train.memory=8Gi; repeatable. Fields: {', '.join(FIELDS)}; "
        f"{', '.join(KUBERNETES_FIELDS)} on kfp alone.",
    ),
    Setting(
        name="platform",
        default="",
        attribute="pods",
        metavar="FILE",
        help="kfp: YAML file with node_selector, tolerations, image_pull_secrets, image_pull_policy, annotations and "
        "config_map_env for the pods of all tasks.",
    ),
)
# Sent with a run: attributes of Submission.
RUN_SETTINGS = (
    Setting(name="experiment", default=Submission.experiment, help="kfp: experiment of the run."),
    Setting(name="service_account", default=Submission.service_account, help="Service account of the tasks."),
    Setting(
        name="pipeline_root",
        default=Submission.pipeline_root,
        help="URI for the artifacts; required on vertex, where it begins with gs://.",
    ),
)
SUBMISSION_SETTINGS = (
    *TASK_SETTINGS,
    Setting(name="preset", default=presets.DEFAULT, choices=tuple(presets.PRESETS), help="Parameters to start from."),
    Setting(name="layout", default="", help=LAYOUT_HELP),
    *RUN_SETTINGS,
)
# When a schedule starts runs.
SCHEDULE_SETTINGS = (
    Setting(name="name", default="two-tower", help="Name of the schedule."),
    Setting(name="cron", default="", help='Five cron fields, such as "0 3 * * 1".'),
    Setting(name="time_zone", default=Cron.time_zone, help="Time zone of the cron fields."),
    Setting(
        name="cluster_time_zone",
        default=Schedule.cluster_time_zone,
        help="kfp: CRON_SCHEDULE_TIMEZONE of the cluster's controller.",
    ),
    Setting(
        name="enabled", default=Schedule.enabled, flag="--enabled/--paused", help="Whether the schedule starts runs."
    ),
)
TARGET = Setting(name="target", default="kfp", choices=TARGETS, help="Type of cluster.")


def make_pipeline_setting(default: str) -> Setting:
    """Creates the setting that selects the pipeline."""
    return Setting(name="pipeline", default=default, choices=tuple(PIPELINES), help="Pipeline to use.")


def add_options(*settings: Setting) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options of settings to a command."""

    def add(command: Command) -> Command:
        for setting in reversed(settings):
            command = setting.make_option()(command)
        return command

    return add


def add_submission_options(command: Command) -> Command:
    """Adds the options that `parse_parameters` and `make_submission` need, except the target and the pipeline."""
    settings = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        shell_complete=complete_setting,
        help="Set a pipeline parameter; repeatable.",
    )
    return add_options(*SUBMISSION_SETTINGS)(settings(command))


def parse_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parses the pipeline parameters of --set."""
    inputs = compile_pipeline(values["pipeline"], make_tasks(values)).inputs
    return parse_settings(values["settings"], inputs, list_owners(values["pipeline"]))


def make_tasks(values: Mapping[str, Any]) -> Tasks:
    """Creates the tasks from values of TASK_SETTINGS and the target."""
    attributes = {setting.attribute or setting.name: values[setting.name] for setting in TASK_SETTINGS}
    attributes["resources"] = tuple(values["resource"])
    attributes["pods"] = PlatformSettings.read(Path(values["platform"])) if values["platform"] else NO_SETTINGS
    return Tasks(platform=values["target"], **attributes)


def make_submission(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> Submission:
    """Creates a submission.

    Args:
        values: values of SUBMISSION_SETTINGS, the target and the pipeline, by name.
        parameters: values of pipeline parameters; they override the layout, which overrides the preset.

    Raises:
        ValueError: the preset or the layout is unknown, or the pipeline cannot read logs of the layout.
    """
    tasks = make_tasks(values)
    layout = get_layout_settings(values["layout"], compile_pipeline(values["pipeline"], tasks).inputs)
    return Submission(
        pipeline=values["pipeline"],
        tasks=tasks,
        parameters={**presets.get_preset(values["preset"]), **layout, **parameters},
        preset=values["preset"],
        **{setting.name: values[setting.name] for setting in RUN_SETTINGS},
    )


def make_schedule(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> Schedule:
    """Creates a schedule from values of SCHEDULE_SETTINGS and those that `make_submission` takes."""
    return Schedule(
        name=values["name"],
        cron=Cron(expression=values["cron"], time_zone=values["time_zone"]),
        submission=make_submission(values, parameters),
        enabled=values["enabled"],
        cluster_time_zone=values["cluster_time_zone"],
    )
