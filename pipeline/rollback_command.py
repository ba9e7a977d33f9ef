"""The command that serves an earlier version again."""

import click

from pipeline.versions_command import SERVING_HELP


@click.command("rollback")
@click.option("--serving", "uri", required=True, metavar="URI", help=SERVING_HELP)
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="Version to return to. [default: the one before the newest]",
)
def rollback_command(uri: str, to: int | None) -> None:
    """Publishes the content of an earlier version under the next number, which is what servers follow.

    Exit codes: 0 published; 1 there is no such version, another publication was first, or the location or the version
    cannot be read; 2 usage error.
    """
    from components.publish.rollback import roll_back

    manifest = roll_back(uri, to)
    done = manifest.document["rolled_back"]
    click.echo(f"Version {manifest.version} is published. It has the content of version {done['to']}.")
