"""The command that compiles a pipeline. It only parses options."""

from pathlib import Path
from typing import Any

import click

from pipeline.cluster.options import TARGET, TASK_SETTINGS, add_options, make_pipeline_setting, make_tasks
from pipeline.compilation import compile_pipeline


@click.command("compile")
@add_options(make_pipeline_setting("training"), TARGET, *TASK_SETTINGS)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="YAML file to write; an existing file is overwritten.",
)
def compile_command(pipeline: str, output: Path, **values: Any) -> None:
    """Compiles a pipeline to YAML for a Kubeflow or Vertex cluster. Does not import TensorFlow."""
    compiled = compile_pipeline(pipeline, make_tasks(values))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(compiled.text)
    except OSError as error:
        raise ValueError(f"Expected a writable file (--output). Received: {error}") from error
    click.echo(f"wrote {output} ({compiled.content_hash})")
