"""The exit codes of every command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    """Done; from `run` with a place to publish to: published."""
    REFUSED = 1
    """Refused, or failed before anything long began: wrong input, no such file, cluster not reached."""
    USAGE = 2
    """Wrong usage of the command line; Click's own code."""
    FAILED = 3
    """A task failed, here or on a cluster."""
    CANCELLED = 4
    """The run was cancelled."""
    TIMED_OUT = 5
    """The time limit passed; the run goes on."""
    PENDING = 6
    """A pod could not start within its limit; the message says whether the run goes on."""
    GATE = 7
    """The gate refused the model; nothing was published."""
    INTERRUPTED = 130
    """Interrupted by the user."""
