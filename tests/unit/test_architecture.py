"""What holds the project together: the packages are ours, and what is shipped loads."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.scripts import run_script
from tokensieve.settings import (
    BenchmarkSettings,
    CleanDropsSettings,
    CleaningSettings,
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    TrainSettings,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "deployments/configs"
SETTINGS = {
    "laptop.toml": CleanSettings,
    "clean_drops.toml": CleanDropsSettings,
    "train.toml": TrainSettings,
    "evolve.toml": EvolveSettings,
    "compare.toml": CompareSettings,
    "benchmark.toml": BenchmarkSettings,
}
PLACES = ("tiny.toml", "llama3_2_3b.toml", "cluster.toml")
"""Settings files of whole places: they say what differs from the defaults, for every deployment."""
NOT_OF_CLEANING = {"cluster.ranks", "cluster.fsdp"}  # it trains nothing
ENTRY = re.compile(r"^(?:# )?(?P<key>\w+) = .*(?:\n {31}#.*)*", re.MULTILINE)
"""A setting, perhaps commented out because it has no default, with what is said of it."""


@pytest.mark.parametrize("name", ["flows", "tasks", "ray_cluster", "sql", "tokensieve"])
def test_the_package_of_this_name_is_ours(name):
    assert ROOT in Path(importlib.import_module(name).__file__).parents


def entries(name):
    """Return what a settings file says of each setting, by its place in the tree."""
    top, *tables = re.split(r"^\[([\w.]+)\]", (CONFIGS / name).read_text(), flags=re.MULTILINE)
    groups = {"": top, **dict(zip(tables[::2], tables[1::2], strict=True))}
    return {
        f"{group}.{entry['key']}".lstrip("."): entry[0]
        for group, text in groups.items()
        for entry in ENTRY.finditer(text)
    }


def defaults(settings):
    """Return the default of each setting by its place in the tree; Ellipsis: it has none."""
    found = {}
    for name, field in settings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            inner = defaults(field.annotation)
            found |= {f"{name}.{place}": default for place, default in inner.items()}
        else:
            found[name] = ... if field.is_required() else field.default
    return found


def test_every_shipped_settings_file_is_one_of_these():
    assert {path.name for path in CONFIGS.iterdir()} == {*SETTINGS, *PLACES}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_settings_file_shows_every_setting_of_its_command_and_no_other(name):
    wanted = set(defaults(SETTINGS[name]))
    if issubclass(SETTINGS[name], CleaningSettings):
        wanted -= NOT_OF_CLEANING

    assert set(entries(name)) == wanted


@pytest.mark.parametrize("name", SETTINGS)
def test_a_settings_file_shows_the_defaults(name):
    paths = {*SETTINGS[name].path_keys(), "selection"}  # examples
    default_of = defaults(SETTINGS[name])

    for place, entry in entries(name).items():
        if entry.startswith("#"):
            assert default_of[place] in (None, ()), place
        elif place not in paths:
            [value] = tomllib.loads(entry).values()
            assert value == made_plain(default_of[place]), place


def made_plain(default):
    return list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize("name", SETTINGS)
def test_a_settings_file_loads_with_everything_that_it_offers(name, tmp_path):
    text = (CONFIGS / name).read_text()
    whole = tmp_path / name
    whole.write_text(re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE))

    assert SETTINGS[name].load(CONFIGS / name, {}).workspace == str(CONFIGS / "workspace")
    assert SETTINGS[name].load(whole, {}).workspace == str(tmp_path / "workspace")


def test_settings_files_say_the_same_of_a_setting_that_they_share():
    told = {}
    for name in SETTINGS:
        for place, entry in entries(name).items():
            if "." in place:
                assert told.setdefault(place, entry) == entry, (name, place)


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


def test_no_process_that_opens_files_of_others_knows_the_arrow_types_of_ray_data():
    done = run_script(
        "import sys, ray_cluster.rank_training, tasks.training\n"
        "print([name for name in sys.modules if name.startswith(('ray.data', 'ray.train'))])"
    )

    assert done.stdout == "[]\n", done.stderr
