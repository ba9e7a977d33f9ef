"""The server as a command of the image: python -m components.serve --serving URI|DIR."""

import sys

from components.serve.options import serve_command


def main() -> None:
    """Serves; errors of the input are printed without a traceback."""
    try:
        serve_command(prog_name="python -m components.serve")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"two-tower: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
