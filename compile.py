"""Compiles a pipeline to the YAML that a Kubeflow or Vertex cluster takes. Loads no TensorFlow."""

from pathlib import Path

import click
from kfp import compiler

from components.image import IMAGE
from pipeline.training import make_training_pipeline


@click.command(help=__doc__)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="YAML file to write.")
@click.option("--image", default=IMAGE, show_default=True, help="Container image of every task.")
def main(output: Path, image: str) -> None:
    """Writes the YAML."""
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(make_training_pipeline(image), str(output))
    click.echo(f"wrote {output}")


if __name__ == "__main__":
    main()
