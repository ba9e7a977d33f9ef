"""Compiles a pipeline to the YAML that a Kubeflow or Vertex cluster takes. Loads no TensorFlow."""

import sys
from pathlib import Path

import click

from components.image import IMAGE
from pipeline.compilation import PIPELINES, TARGETS, compile_pipeline
from pipeline.tasks import Tasks


@click.command(help=__doc__)
@click.option("--pipeline", "name", type=click.Choice(list(PIPELINES)), default="training", show_default=True)
@click.option("--target", type=click.Choice(TARGETS), default="kfp", show_default=True, help="Kind of cluster.")
@click.option("--image", default=IMAGE, show_default=True, help="Image of every task, with a tag that stays.")
@click.option("--accelerator", default="", help="For the training: nvidia.com/gpu on kfp, NVIDIA_L4 on vertex, ...")
@click.option("--accelerator-count", default=1, show_default=True, help="How many of them.")
@click.option("--object-store-secret", default="", help="kfp: secret with the keys of an S3-compatible store.")
@click.option("--checkpoint-claim", default="", help="kfp: volume claim for the checkpoints of trainings.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="YAML file to write.")
def main(
    name: str,
    target: str,
    image: str,
    accelerator: str,
    accelerator_count: int,
    object_store_secret: str,
    checkpoint_claim: str,
    output: Path,
) -> None:
    """Writes the YAML; what a user can mend ends in one line and the exit code 1."""
    try:
        tasks = Tasks(
            image=image,
            platform=target,
            accelerator=accelerator,
            num_accelerators=accelerator_count,
            object_store_secret=object_store_secret,
            checkpoint_claim=checkpoint_claim,
        )
        compiled = compile_pipeline(name, tasks)
    except ValueError as error:
        click.echo(f"compile.py: {error}", err=True)
        sys.exit(1)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(compiled.text)
    click.echo(f"wrote {output} ({compiled.content_hash})")


if __name__ == "__main__":
    main()
