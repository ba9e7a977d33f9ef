"""The one place where image names stand."""

from importlib.metadata import version

IMAGE = f"two-tower:{version('two-tower')}"
