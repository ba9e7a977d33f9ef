"""The error with which the gate fails its task, which `notify` and the command line tell from other errors."""


class RefusedError(RuntimeError):
    """The gate refused the model, and `fail_when_refused` is set."""
