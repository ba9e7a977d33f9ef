import builtins
import io
import logging
import threading

from kfp.local.logging_utils import indented_print, local_logger_context

from pipeline.task_output import TaskOutput, kfp_logs_to


class Watcher:
    """Notes what it is told."""

    def __init__(self):
        self.seen = []

    def start(self, task):
        self.seen.append(("start", task))

    def advance(self, text):
        self.seen.append(("advance", text))

    def describe(self, text):
        self.seen.append(("describe", text))

    def finish(self, task, *, succeeded):
        self.seen.append(("finish", task, succeeded))

    def reuse(self, task):
        self.seen.append(("reuse", task))

    def show(self, line):
        pass


# As KFP 2.17 prints it: colours, the lines of a task indented.
PRINTED = """03:18:55.123 - INFO - Executing task \x1b[96m'ingest'\x1b[0m
03:18:55.124 - INFO - Streamed logs:

    [progress 31%] 12 lines  about 2 min left
    [result] 40 events
03:18:57.000 - INFO - Task \x1b[96m'ingest'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
Task vocabulary cache hit (key=0123456789ab); skipping execution.
03:18:57.001 - INFO - Executing task \x1b[96m'train'\x1b[0m
    Traceback (most recent call last):
    components.core.x.OddError: first
    ValueError: Expected loss to be one of in_batch. Received: 'x'
03:18:58.000 - ERROR - Task \x1b[96m'train'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
03:18:58.001 - INFO - Executing task \x1b[96m'export'\x1b[0m
    RuntimeError: later
03:18:59.000 - ERROR - Task \x1b[96m'export'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
"""


def test_lines_are_read_however_they_are_cut_and_the_log_is_complete():
    for size in (1, 7, 10_000):
        log, watcher = io.StringIO(), Watcher()
        output = TaskOutput(log, watcher)
        for begin in range(0, len(PRINTED), size):
            output.write(PRINTED[begin : begin + size])
        assert watcher.seen == [
            ("start", "ingest"),
            ("advance", "12 lines  about 2 min left"),
            ("describe", "40 events"),
            ("finish", "ingest", True),
            ("reuse", "vocabulary"),
            ("start", "train"),
            ("finish", "train", False),
            ("start", "export"),
            ("finish", "export", False),
        ]
        assert (output.failed, output.error) == (
            "train",
            "ValueError: Expected loss to be one of in_batch. Received: 'x'",
        )
        assert log.getvalue().count("\n") == PRINTED.count("\n")


def test_a_killed_process_is_said():
    output = TaskOutput(io.StringIO(), Watcher())
    output.write("01 - INFO - Executing task 'train'\n    [killed] signal 9\n")
    output.write("02 - ERROR - Task 'train' finished with status FAILURE\n")
    assert output.failed == "train"
    assert "killed by signal 9" in output.error


def test_after_a_loop_whose_tasks_ran_in_threads_logging_and_print_are_as_before():
    before = logging.getLogger().handlers[:], logging.getLogger().level, builtins.print
    entered, left = threading.Event(), threading.Event()

    def run_second_task():
        with local_logger_context(), indented_print():
            entered.set()
            left.wait()

    with kfp_logs_to(io.StringIO()):
        thread = threading.Thread(target=run_second_task)
        with local_logger_context(), indented_print():
            thread.start()
            entered.wait()
        left.set()
        thread.join()
        assert builtins.print is not before[2]
        assert len(logging.getLogger().handlers) == 1  # that of the first task, which has ended
    assert (logging.getLogger().handlers, logging.getLogger().level, builtins.print) == before
