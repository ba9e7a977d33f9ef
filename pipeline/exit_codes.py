"""The exit codes of every command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of a command means. A wrong command line ends with Click's own 2."""

    DONE = 0
    """Done."""
    REFUSED = 1
    """Refused, or failed before anything long began: wrong input, no such file, cluster not reached."""
    USAGE = 2
    """Wrong usage of the command line."""
    FAILED = 3
    """A task failed, here or on a cluster."""
    CANCELLED = 4
    """The run was cancelled."""
    TIMED_OUT = 5
    """The time limit passed; the run goes on."""
    PENDING = 6
    """A pod could not start within its limit."""
    GATE = 7
    """The gate refused: nothing was published."""
    INTERRUPTED = 130
    """Interrupted by the user."""
