"""Secrets that may turn up nowhere, modules that nobody may import, rows that want to be SQL."""

import base64
import json
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

SQL = """x"'); DROP TABLE rounds; --"""
"""Closes a name or a text of SQL, and goes on."""
IDS = [SQL, "../../../../tmp/escaped", "a/b", "=1+1", "\x1b[31m", "\u202e", "i" * 10_000]
"""What a row may call itself."""


class Canaries:
    """Secrets of an environment, each of which is new and occurs nowhere else."""

    def __init__(self) -> None:
        self.environment = {
            "AWS_ACCESS_KEY_ID": _canary(),
            "AWS_SECRET_ACCESS_KEY": _canary(),
            "AWS_SESSION_TOKEN": _canary(),
            "HF_TOKEN": _canary(),
            "PREFECT_API_AUTH_STRING": f"admin:{_canary()}",
            "RAY_AUTH_TOKEN": _canary(),
        }

    def found_in(self, places: Iterable[Path]) -> list[tuple[str, str]]:
        """Return each file that holds one of the secrets, and which."""
        return [hit for place in places for hit in found(self.environment, place)]


def found(canaries: Mapping[str, str], place: Path) -> list[tuple[str, str]]:
    """Return each file, `place` itself or below it, that holds a secret as it is or in base64."""
    forms = {
        name: (value.encode(), base64.b64encode(value.encode()).rstrip(b"="))
        for name, value in canaries.items()
    }
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return [
        (str(file), name)
        for file in files
        for name, values in forms.items()
        if any(value in file.read_bytes() for value in values)
    ]


def plant_modules(directory: Path, log: Path) -> None:
    """Write a module of every name of the standard library and of ours that breaks its importer."""
    ours = ("flows", "tasks", "ray_cluster", "tokensieve", "ray", "prefect", "torch", "numpy")
    for name in (*sys.stdlib_module_names, *ours, "sitecustomize", "usercustomize"):
        code = f"open({str(log)!r}, 'a').write('{name} ')\nraise ImportError('planted {name}')\n"
        (directory / f"{name}.py").write_text(code)


def write_hostile_drop(path: Path) -> Path:
    """Write rows whose ids, sources and texts are SQL, paths, formulas and escapes."""
    rows = [
        {"id": id, "source": id[:200], "prompt": f"{id[:50]}?", "completion": f"{SQL} {id[:50]}"}
        for id in IDS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _canary() -> str:
    return f"canary{secrets.token_hex(16)}"
