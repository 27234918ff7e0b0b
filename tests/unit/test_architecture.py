"""What holds the project together: the packages are ours, and what is shipped loads."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tokensieve.settings import CleanSettings

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "deployments/configs").glob("*.toml"))


@pytest.mark.parametrize("name", ["flows", "tasks", "ray_cluster", "sql", "tokensieve"])
def test_the_package_of_this_name_is_ours(name):
    assert ROOT in Path(importlib.import_module(name).__file__).parents


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_settings_file_loads(config):
    assert CleanSettings.load(config, {}).files


def test_the_annotated_settings_file_shows_the_defaults():
    shown = tomllib.loads((ROOT / "deployments/configs/laptop.toml").read_text())
    defaults = CleanSettings(files=("x",), base="y").model_dump()

    for section in ("corpus", "scoring", "selection", "cluster"):
        for key, value in shown[section].items():
            assert value == defaults[section][key], f"{section}.{key}"


def test_the_annotated_settings_file_shows_every_setting():
    text = (ROOT / "deployments/configs/laptop.toml").read_text()

    for name, field in CleanSettings.model_fields.items():
        section = getattr(field.annotation, "model_fields", None)
        for key in section or [name]:
            assert f"\n{key} = " in text or f"\n# {key} = " in text, key


def test_the_science_loads_without_the_orchestrators():
    code = (
        "import sys, tokensieve.planning, tokensieve.scoring, tokensieve.selection, "
        "tokensieve.ingest.shard, tokensieve.noise.demo; "
        "print(sorted({'prefect', 'ray', 'duckdb'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_the_command_line_answers_without_loading_models_or_servers():
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'prefect', 'ray', 'duckdb', 'torch'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "[]"
