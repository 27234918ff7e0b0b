"""Look at everything that a run depends on, and say what to do about what is wrong.

finding.py   what a check says         machine.py   Python, packages, GPU, disk, terminal
services.py  workspace, Ray, Prefect
"""

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context

from httpx import HTTPError, HTTPStatusError

from tasks.doctor import machine, services
from tasks.doctor.finding import Finding, bad
from tokensieve.errors import ResourceError, TokensieveError
from tokensieve.storage import Storage

LIMIT_SECONDS = 90.0
"""Longest that one check may take."""

_Check = Callable[[], Finding]


def diagnose(storage: Storage, ray_address: str | None) -> Iterator[tuple[str, Finding]]:
    """Yield each check's name and what it found, as soon as it is known."""
    checks: dict[str, _Check] = {
        "python": machine.check_python,
        "packages": machine.check_packages,
        "processors": machine.check_processors,
        "GPUs": machine.check_gpus,
        "temporary files": machine.check_temporary_files,
        "terminal": machine.check_terminal,
        "workspace": lambda: services.check_workspace(storage),
        "Ray's token": services.check_ray_token,
        "Ray": lambda: services.check_ray(ray_address),
        "Prefect's home": services.check_prefect_home,
        "Prefect": services.check_prefect,
    }
    for name, check in checks.items():
        yield name, _found(check)


def finding_lines(name: str, finding: Finding) -> str:
    """Return a finding as the terminal shows it."""
    line = f"{finding.verdict:<5} {name:<16} {finding.found}"
    return f"{line}\n      {'':<16} fix: {finding.fix}" if finding.fix else line


def refuse_if_bad(findings: list[Finding]) -> None:
    """Raise ResourceError if runs would fail."""
    num_bad = sum(finding.verdict == "bad" for finding in findings)
    if num_bad:
        raise ResourceError(f"{num_bad} of {len(findings)} checks failed; each says how to fix it.")


def _found(check: _Check) -> Finding:
    """Return what the check finds, or that it does not come to an end."""
    findings: list[Finding] = []
    run = copy_context().run  # Prefect keeps its settings in the context
    worker = threading.Thread(target=lambda: findings.append(run(_tried, check)), daemon=True)
    worker.start()
    worker.join(LIMIT_SECONDS)
    if findings:
        return findings[0]
    return bad(f"no answer within {LIMIT_SECONDS:g} s", "Look whether its machine hangs")


def _tried(check: _Check) -> Finding:
    """Return what the check finds; the errors that a run would end with are findings here."""
    try:
        return check()
    except TokensieveError as error:
        return bad(str(error), "")  # the message says what to do
    except HTTPStatusError as error:
        hint = "Set PREFECT_API_AUTH_STRING as the server has it"
        return bad(f"the server answers {error.response.status_code}", hint)
    except HTTPError as error:
        hint = "Start the server, or unset PREFECT_API_URL"
        return bad(f"the server does not answer ({type(error).__name__})", hint)
