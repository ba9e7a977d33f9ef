"""The command that compiles a pipeline. Parsing only."""

from pathlib import Path
from typing import Any

import click

from pipeline.cluster.options import TARGET, TASK_SETTINGS, add_options, make_pipeline_setting, make_tasks
from pipeline.compilation import compile_pipeline


@click.command("compile")
@add_options(make_pipeline_setting("training"), TARGET, *TASK_SETTINGS)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="YAML file to write.")
def compile_command(pipeline: str, output: Path, **values: Any) -> None:
    """Compiles a pipeline to the YAML that a Kubeflow or Vertex cluster takes. Loads no TensorFlow."""
    compiled = compile_pipeline(pipeline, make_tasks(values))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(compiled.text)
    except OSError as error:
        raise ValueError(f"Expected a file that can be written (--output). Received: {error}") from error
    click.echo(f"wrote {output} ({compiled.content_hash})")
