"""Runs a task's command and kills it, with all processes that it started, when the run ends before it does.

KFP starts a task as a shell that starts Python; neither ends when the process that runs the pipeline is killed. So each
task is started by this module. The running process holds a named pipe open; the end of the pipe, which also comes when
that process is killed, ends the task.

The source is passed to `python -c`, because a container holds the components only: nothing but the standard library
may be imported here, and the source must not contain the command name that KFP replaces by this interpreter.
"""

import os
import signal
import subprocess
import sys
import threading


def kill_group_after(pipe_path: str) -> None:
    """Waits until no process writes to the pipe, then kills this process and all that it started."""
    try:
        descriptor = os.open(pipe_path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        os.read(descriptor, 1)
    finally:
        os.killpg(0, signal.SIGKILL)
        os._exit(1)  # the first process of a container survives its own signal


def restore(text: str) -> str:
    """Undoes KFP's replacement of the command name in paths and other values, where it names no command."""
    return text.replace(sys.executable, "python" + "3")


def main(pipe_path: str, *command: str) -> int:
    """Runs the command and returns its exit code."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    threading.Thread(target=kill_group_after, args=[restore(pipe_path)], daemon=True).start()
    begin = command.index("--executor_input")
    code = subprocess.call([*command[:begin], *map(restore, command[begin:])])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
