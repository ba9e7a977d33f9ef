"""One package a step, and `core` for what two steps share.

tensorflow-recommenders needs Keras 2, which must be chosen before TensorFlow is imported. Python imports this package
before any module in it, so the choice is made here. TensorFlow uses oneDNN's matrix products by itself only on newer
processors; with AVX2 they take half the time of its own.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
