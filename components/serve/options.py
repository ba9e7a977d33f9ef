"""The command that serves a model, for `two-tower serve` and for the image."""

from dataclasses import MISSING, fields
from typing import Any

import click

from components.serve.parameters import ServeParameters


def _add_options(command: Any) -> Any:
    for field in reversed(fields(ServeParameters)):
        option = f"--{field.name.replace('_', '-')}"
        kwargs: dict[str, Any] = {"help": field.metadata["text"]}
        if field.default is MISSING:
            kwargs |= {"required": True, "metavar": "URI|DIR"}
        elif isinstance(field.default, bool):
            kwargs |= {"is_flag": True}
        else:
            kwargs |= {"default": field.default, "show_default": field.default != ""}
        command = click.option(option, **kwargs)(command)
    return command


@click.command("serve")
@_add_options
def serve_command(**values: Any) -> None:
    """Serves the newest published version, or an index, over HTTP, with a demo page at /.

    It speaks the REST interface of TensorFlow Serving and the Open Inference Protocol, takes up new versions, and ends
    after SIGTERM when all requests are answered. There is no authentication: put it behind your own.

    Exit codes: 0 stopped; 1 invalid input, or the address is taken; 2 usage error.
    """
    parameters = ServeParameters(**values)
    try:
        from components.serve.preparation import prepare

        prepared = prepare(parameters)
        from components.serve.step import serve
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"Expected the packages of the extra `components`: pip install 'two-tower[components]'. Received: {error}"
        ) from error
    serve(parameters, prepared)
