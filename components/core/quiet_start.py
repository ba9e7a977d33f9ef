"""Starts TensorFlow's devices without the messages that tell a machine without a GPU of an error."""

import contextlib
import os
import re
import sys
import tempfile

# What TensorFlow 2.20 writes as errors where nothing is wrong: no GPU, or a library that two of its parts register.
NOISE = re.compile(
    rb"failed call to cuInit|Unable to register cu\w+ factory|computation placer already registered|"
    rb"All log messages before absl::InitializeLog\(\) is called"
)


def list_devices() -> None:
    """Lists TensorFlow's devices, which starts their drivers; drops the lines of NOISE and keeps all others.

    TensorFlow writes to file descriptor 2, past Python's sys.stderr.
    """
    import tensorflow as tf

    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        stderr = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            tf.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            kept = [line for line in caught if not NOISE.search(line)]
            with contextlib.suppress(OSError):
                os.write(2, b"".join(kept))
