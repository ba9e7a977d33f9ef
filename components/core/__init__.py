"""The nouns the steps share. tensorflow-recommenders needs Keras 2, which must be chosen before TensorFlow loads."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
