"""How the process of a command ends."""

import pytest

from tests.scripts import run_script

PROGRAM = """
import atexit, sys
from flows import program
def main():
    atexit.register(lambda: print("what was started has ended"))
    {body}
program.main = main
program.program()
"""


@pytest.mark.parametrize(
    ("body", "code"), [("pass", 0), ("sys.exit(6)", 6), ("sys.exit(130)", 130)]
)
def test_the_process_ends_with_the_code_of_its_command(body, code):
    done = run_script(PROGRAM.format(body=body))

    assert done.returncode == code
    assert done.stdout == "what was started has ended\n"
    assert done.stderr == ""


def test_what_nobody_foresaw_is_told_whole_and_is_no_success():
    done = run_script(PROGRAM.format(body="1 / 0"))

    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_all_output_arrives():
    done = run_script(PROGRAM.format(body="print('x' * 10**6)"))

    assert len(done.stdout.partition("\n")[0]) == 10**6
