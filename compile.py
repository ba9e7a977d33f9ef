"""Compiles a pipeline; the same command as `two-tower compile`."""

import sys

from pipeline.__main__ import main

if __name__ == "__main__":
    sys.argv.insert(1, "compile")
    main()
