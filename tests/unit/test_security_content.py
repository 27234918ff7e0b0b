"""Documents that were edited, code that would run what it reads, and packages known to be bad."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.tiny_runs import begin_comparison, begin_evolving_run, finish_first_round
from tokensieve.drops import Visit, read_log, release
from tokensieve.runs import Attempt
from tokensieve.storage import LocalStorage
from tokensieve.verification import Verification

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "ray_cluster", "sql", "tokensieve", "deployments", "benchmarks")

# --- documents


def leaves(value: object, place: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """Yield the place of everything in a JSON value that is no object and no list."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*place, key))
    else:
        yield place


def with_another(document: object, place: tuple[int | str, ...]) -> bytes:
    """Return the document as it is written, with another value at the place."""
    changed = json.loads(json.dumps(document))
    *way, last = place
    inner = changed
    for key in way:
        inner = inner[key]
    old = inner[last]
    inner[last] = f"{old}x" if isinstance(old, str) else 7 if old != 7 else 8
    return json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    """Return a workspace with a document of every kind."""
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    run.stop(storage, "enough")
    Attempt(flow_run="f", host="h", pid=1, started=1.0).publish(storage, run.name)
    comparison, arm = begin_comparison(storage)
    comparison.finish_arm(storage, arm)
    counts = {"rows": 1, "samples": 1, "quarantined": 0, "skipped": 0, "seen": 0}
    said = {"drop": "a", "files": [], "run": run.name, "way": "w", "alarms": ["odd"], "held": True}
    visit = Visit(**said, corpus=corpus.id, selection=None, counts=counts)
    release(storage, 1, visit.publish(storage, read_log(storage)))
    return storage


def one_of_each_kind(root: Path) -> dict[str, Path]:
    """Return a document by what its name is without ids and numbers."""
    paths = [path for path in root.rglob("*.json") if path.name != "config.json"]
    return {re.sub(r"[0-9a-f]{16}|\d+", "*", str(path.relative_to(root))): path for path in paths}


def test_an_edit_of_any_field_of_any_kind_of_document_is_found(storage):
    documents = one_of_each_kind(storage.root)
    assert Verification(storage).damages == []

    num_edits = 0
    for path in documents.values():
        original = path.read_bytes()
        for place in leaves(json.loads(original)):
            path.write_bytes(with_another(json.loads(original), place))
            assert any(str(path) in line for line in Verification(storage).damages), (path, place)
            num_edits += 1
        path.write_bytes(original)

    assert len(documents) >= 20, sorted(documents)
    assert num_edits > 100


# --- code

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "torch.load", "torch.save", "os.system", "os.popen"),
    *("yaml.load", "yaml.unsafe_load", "importlib.import_module", "numpy.load", "np.load"),
}


@cache
def code() -> list[tuple[str, ast.AST]]:
    """Return every import and every call of our code, with its place."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)
    ]


def calls() -> Iterator[tuple[str, str, dict[str | None, str]]]:
    """Yield the place of every call, what is called, and what is given by name."""
    for place, node in code():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            yield place, ast.unparse(node.func), given


def imports() -> Iterator[tuple[str, str]]:
    """Yield the place of every import, and the package that is imported from."""
    for place, node in code():
        if isinstance(node, ast.Import):
            yield from ((place, each.name.partition(".")[0]) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield place, (node.module or "").partition(".")[0]


def test_nothing_of_ours_unpickles_or_runs_what_it_reads():
    assert [each for each in imports() if each[1] in FORBIDDEN_MODULES] == []
    assert [each for each in calls() if each[1] in FORBIDDEN_CALLS] == []
    assert [each for each in calls() if {"shell", "allow_pickle"} & each[2].keys()] == []


def test_whatever_is_loaded_with_transformers_may_bring_no_code_and_come_from_no_network():
    loads = [
        (place, given.get("trust_remote_code"), given.get("local_files_only"))
        for place, called, given in calls()
        if called.endswith(".from_pretrained") and not place.startswith("benchmarks")
    ]

    assert len(loads) >= 3
    assert [each for each in loads if each[1:] != ("False", "True")] == []


# --- packages

KNOWN_BAD = {
    "ray": "2.54.0",  # CVE-2026-41486: code from the schema of a Parquet file
    "prefect": "3.6.27",  # CVE-2026-5366, CVE-2026-3514, CVE-2026-7723, CVE-2026-7724
    "torch": "2.9.1",  # CVE-2026-24747: weights_only is no protection
    "transformers": "5.2.0",  # CVE-2026-4372, CVE-2026-5241: code from config.json
    "datasets": "3.6.0",  # runs scripts of datasets
    "pyarrow": "23.0.0",  # CVE-2026-25087, CVE-2023-47248
    "jinja2": "3.1.5",  # CVE-2025-27516: out of the sandbox of templates
}
"""The last version of each package with a hole that we would open."""


@pytest.mark.parametrize("package", KNOWN_BAD)
def test_a_version_with_a_known_hole_is_neither_allowed_nor_installed(package):
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    [required] = [each for each in map(Requirement, dependencies) if each.name == package]

    assert not required.specifier.contains(KNOWN_BAD[package])
    assert Version(version(package)) > Version(KNOWN_BAD[package])


# --- the table of checks


def test_every_test_that_the_table_of_checks_names_is_there():
    told = (ROOT / "docs/security.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    named = {*re.findall(r"`(test_\w+)`", told)}

    assert len(named) > 50
    assert [name for name in sorted(named) if f"def {name}(" not in code] == []
