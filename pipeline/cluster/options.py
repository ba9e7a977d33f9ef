"""The settings of compile, submit and schedule: each is an option on the command line and a key of a schedule file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from pipeline import presets
from pipeline.cluster.cron import Cron
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission
from pipeline.compilation import PIPELINES, TARGETS, compile_pipeline
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks

Command = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting.

    Attributes:
        name: key in a schedule file; the option is `--name` with hyphens.
        default: its value where nothing is given; a value is of its type.
        help: what it is.
        attribute: of Tasks or Submission, if its name is another one there.
        choices: its values, if only these are allowed.
        flag: the option, if it is not made of the name.
    """

    name: str
    default: Any
    help: str
    attribute: str = ""
    choices: tuple[str, ...] = ()
    flag: str = ""

    def make_option(self) -> Callable[[Command], Command]:
        """Makes the option of the command line."""
        return click.option(
            self.flag or f"--{self.name.replace('_', '-')}",
            self.name,
            type=click.Choice(self.choices) if self.choices else type(self.default),
            default=self.default,
            show_default=self.default != "",
            help=self.help,
        )

    def check(self, value: Any) -> None:
        """Checks a value of a schedule file.

        Raises:
            ValueError: it is of another type, or none of the choices.
        """
        if type(value) is not type(self.default):
            kind = type(self.default).__name__
            raise ValueError(f"Expected {self.name} to be of the type {kind}. Received: {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"Expected {self.name} to be one of {', '.join(self.choices)}. Received: {value!r}")


# What is fixed when compiling: attributes of Tasks.
TASK_SETTINGS = (
    Setting(name="image", default=Tasks.image, help="Image of every task, with a tag that stays."),
    Setting(
        name="accelerator",
        default=Tasks.accelerator,
        help="For the training: nvidia.com/gpu on kfp, NVIDIA_L4 on vertex, ...",
    ),
    Setting(
        name="accelerator_count",
        default=Tasks.num_accelerators,
        attribute="num_accelerators",
        help="How many of them.",
    ),
    Setting(
        name="object_store_secret",
        default=Tasks.object_store_secret,
        help="kfp: secret with the keys of an S3-compatible store.",
    ),
    Setting(
        name="checkpoint_claim",
        default=Tasks.checkpoint_claim,
        help="kfp: volume claim for the checkpoints of trainings.",
    ),
)
# What is sent with a run: attributes of Submission.
RUN_SETTINGS = (
    Setting(name="experiment", default=Submission.experiment, help="kfp: what runs are grouped by."),
    Setting(name="service_account", default=Submission.service_account, help="Service account of the tasks."),
    Setting(
        name="pipeline_root",
        default=Submission.pipeline_root,
        help="Where the artifacts go, as a URI; required on vertex, there gs://.",
    ),
)
SUBMISSION_SETTINGS = (
    *TASK_SETTINGS,
    Setting(name="preset", default=presets.DEFAULT, choices=tuple(presets.PRESETS), help="Parameters to start from."),
    *RUN_SETTINGS,
)
# When it is run.
SCHEDULE_SETTINGS = (
    Setting(name="name", default="two-tower", help="What the schedule is found by."),
    Setting(name="cron", default="", help='Five fields, as in "0 3 * * 1".'),
    Setting(name="time_zone", default=Cron.time_zone, help="Zone of the cron fields."),
    Setting(
        name="cluster_time_zone",
        default=Schedule.cluster_time_zone,
        help="kfp: CRON_SCHEDULE_TIMEZONE of the cluster.",
    ),
    Setting(name="enabled", default=Schedule.enabled, flag="--enabled/--paused", help="Whether it starts runs."),
)
TARGET = Setting(name="target", default="kfp", choices=TARGETS, help="Kind of cluster.")


def make_pipeline_setting(default: str) -> Setting:
    """Makes the setting that picks the pipeline."""
    return Setting(name="pipeline", default=default, choices=tuple(PIPELINES), help="Pipeline to run.")


def add_options(*settings: Setting) -> Callable[[Command], Command]:
    """Adds options to a command."""

    def add(command: Command) -> Command:
        for setting in reversed(settings):
            command = setting.make_option()(command)
        return command

    return add


def add_submission_options(command: Command) -> Command:
    """Adds the options that `parse_parameters` and `make_submission` read, the target and the pipeline aside."""
    settings = click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Sets a pipeline parameter.")
    return add_options(*SUBMISSION_SETTINGS)(settings(command))


def parse_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the pipeline parameters of --set."""
    return parse_settings(values["settings"], compile_pipeline(values["pipeline"], make_tasks(values)).inputs)


def make_tasks(values: Mapping[str, Any]) -> Tasks:
    """Makes the tasks of values of TASK_SETTINGS and the target."""
    attributes = {setting.attribute or setting.name: values[setting.name] for setting in TASK_SETTINGS}
    return Tasks(platform=values["target"], **attributes)


def make_submission(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> Submission:
    """Makes a submission.

    Args:
        values: of SUBMISSION_SETTINGS, the target and the pipeline, by name.
        parameters: values of the pipeline's parameters, on top of the preset's.
    """
    return Submission(
        pipeline=values["pipeline"],
        tasks=make_tasks(values),
        parameters={**presets.get_preset(values["preset"]), **parameters},
        **{setting.name: values[setting.name] for setting in RUN_SETTINGS},
    )


def make_schedule(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> Schedule:
    """Makes a schedule of values of SCHEDULE_SETTINGS and those that `make_submission` takes."""
    return Schedule(
        name=values["name"],
        cron=Cron(expression=values["cron"], time_zone=values["time_zone"]),
        submission=make_submission(values, parameters),
        enabled=values["enabled"],
        cluster_time_zone=values["cluster_time_zone"],
    )
