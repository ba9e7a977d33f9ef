"""Runs a task's command, and kills it with all its child processes if the pipeline's process ends first.

KFP starts a task as a shell that starts Python. Neither ends when the process that runs the pipeline is killed, so this
module starts each task. The pipeline's process holds a named pipe open for writing. When that process ends, even by
SIGKILL, the supervisor reads end-of-file and kills the task.

The source is passed to `python -c`, because a container has only the components. So this module imports only the
standard library, and its source must not contain the command name that KFP replaces by the path of this interpreter.
"""

import os
import signal
import subprocess
import sys
import threading


def kill_group_after(pipe_path: str) -> None:
    """Waits until no process has the pipe open for writing, then kills this process group."""
    try:
        descriptor = os.open(pipe_path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        os.read(descriptor, 1)
    finally:
        os.killpg(0, signal.SIGKILL)
        os._exit(1)  # process 1 of a container ignores signals from inside the container


def restore(text: str) -> str:
    """Undoes KFP's replacement of the command name inside paths and other values."""
    return text.replace(sys.executable, "python" + "3")


def main(pipe_path: str, *command: str) -> int:
    """Runs the command and returns its exit code."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    threading.Thread(target=kill_group_after, args=[restore(pipe_path)], daemon=True).start()
    begin = command.index("--executor_input")
    code = subprocess.call([*command[:begin], *map(restore, command[begin:])])
    code = code if code >= 0 else 128 - code
    if code > 128:
        sys.stdout.write(f"[killed] signal {code - 128}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
