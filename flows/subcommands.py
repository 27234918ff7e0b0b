"""One command of the command line."""

import argparse
from collections.abc import Callable
from typing import Any


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    purpose: str,
    given: str = "",
) -> argparse.ArgumentParser:
    """Return a new command; `given`: what it takes beside flags."""
    usage = " ".join(filter(None, ["tokensieve", name, given, "[flags]"]))
    command: argparse.ArgumentParser = commands.add_parser(
        name, usage=usage, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
    )
    command.set_defaults(run=run)
    return command
