"""The exit codes of all commands."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of a command."""

    DONE = 0
    """Success."""
    REFUSED = 1
    """Refused, or failed before the first long step: invalid input, missing file, cluster not reached."""
    USAGE = 2
    """Usage error; Click's own code."""
    FAILED = 3
    """A task failed, on this machine or on a cluster."""
    CANCELLED = 4
    """The run was cancelled."""
    TIMED_OUT = 5
    """The time limit passed; the run continues."""
    PENDING = 6
    """A pod did not start in time; the message says whether the run continues."""
    GATE = 7
    """The gate refused the model; nothing was published."""
    INTERRUPTED = 130
    """Interrupted by the user."""
