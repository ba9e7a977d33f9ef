import os

import pytest
import tensorflow as tf

from components.core.quiet_start import list_devices

NOISE = b"E xla/stream_executor/cuda/cuda_platform.cc:51] failed call to cuInit: INTERNAL: CUDA error\n"
REAL = b"E tensorflow/core/x.cc:1] CUDA out of memory: failed to allocate\n"


def test_the_absence_of_a_gpu_is_no_error_and_errors_are_kept(monkeypatch, capfd):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: os.write(2, NOISE + REAL))
    list_devices()
    assert capfd.readouterr().err.encode() == REAL
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_error_passes_with_what_was_written_before_it(monkeypatch, capfd):
    def fail():
        os.write(2, NOISE + REAL)
        raise RuntimeError("no driver")

    monkeypatch.setattr(tf.config, "list_physical_devices", fail)
    with pytest.raises(RuntimeError, match="no driver"):
        list_devices()
    assert capfd.readouterr().err.encode() == REAL
