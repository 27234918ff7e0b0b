"""The program `tokensieve`: the command line in a process of its own."""

import atexit
import os
import sys

from flows.cli import main


def program() -> None:
    """Run one command, and end the process with its code as soon as all that it started has ended.

    Python would then take its modules down one by one. DuckDB's binding fills the terminal with
    complaints about the order in which that happens, and Torch and Ray take a second for it.
    """
    code = 1  # of an error that nobody foresaw

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # the first to be registered is the last to run
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
        raise
