"""Settings: one strict tree from a file, from flags, or from both."""

from pathlib import Path

import pytest

from tokensieve.errors import SettingsError
from tokensieve.settings import CleanSettings

FILE = """
files = ["drop.jsonl", "hf://some/name"]
base = "models/base"
reference = "/abs/reference"

[selection]
keep = 0.5
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(FILE)
    return path


def refused(values, match):
    with pytest.raises(SettingsError, match=match):
        CleanSettings.load(None, {"files": ["a"], "base": "b", **values})


def test_paths_of_a_file_are_relative_to_the_file(config, tmp_path):
    settings = CleanSettings.load(config, {})

    assert settings.files == (str(tmp_path / "drop.jsonl"), "hf://some/name")
    assert settings.base == str(tmp_path / "models/base")
    assert settings.reference == "/abs/reference"
    assert settings.selection.keep == 0.5


def test_flags_are_laid_over_the_file_and_unset_flags_change_nothing(config):
    flags = {"base": "/other", "selection": {"keep": 0.7, "method": None}, "reference": None}

    settings = CleanSettings.load(config, flags)

    assert (settings.base, settings.reference) == ("/other", "/abs/reference")
    assert (settings.selection.keep, settings.selection.method) == (0.7, "fixed-model")


def test_relative_paths_become_absolute_for_workers_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.jinja").touch()
    corpus = {"template": "own.jinja"}

    settings = CleanSettings(files=("a", "hf://b"), base="c", reference="~/d", corpus=corpus)

    assert settings.workspace == str(tmp_path / "workspace")
    assert settings.files == (str(tmp_path / "a"), "hf://b")
    assert settings.base == str(tmp_path / "c")
    assert settings.reference == str(Path.home() / "d")
    assert settings.corpus.template == str(tmp_path / "own.jinja")


def test_a_template_file_of_a_settings_file_lies_beside_it(config, tmp_path):
    (tmp_path / "own.jinja").touch()
    config.write_text(FILE + '[corpus]\ntemplate = "own.jinja"\n')

    assert CleanSettings.load(config, {}).corpus.template == str(tmp_path / "own.jinja")


def test_the_name_of_a_template_stays_a_name():
    settings = CleanSettings(files=("a",), base="b", corpus={"template": "tulu"})

    assert settings.corpus.template == "tulu"


def test_a_value_where_a_table_belongs_is_refused(config):
    config.write_text('files = ["a"]\nbase = "b"\ncorpus = "tulu"\n')

    with pytest.raises(SettingsError, match=r"corpus: .*\(got 'tulu'\)"):
        CleanSettings.load(config, {"corpus": {"template": None}})


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    refused({"selection": {"kep": 0.5}}, r"selection\.kep: unknown key; did you mean keep\?")


def test_a_key_like_no_other_is_refused_with_all_known_ones():
    refused({"cluster": {"zzz": 1}}, r"cluster\.zzz: unknown key; known keys: address, workers")


@pytest.mark.parametrize("keep", [0, 1.5, -0.1, float("nan"), "60%"])
def test_a_share_outside_0_to_1_is_refused(keep):
    refused({"selection": {"keep": keep}}, r"selection\.keep: .*\(got ")


def test_text_where_a_list_belongs_is_refused_with_the_list_that_was_meant():
    refused({"files": "a,b"}, r'files: is no list \(got .*\)\. Write \["a", "b"\]\.')


def test_every_wrong_key_is_named_at_once():
    refused({"selection": {"keep": 2}, "corpus": {"max_length": 1}}, r"(?s)max_length.*keep")


@pytest.mark.parametrize("text", ["files = [", "\udcff", None])
def test_a_file_that_is_no_toml_is_refused_with_its_path(tmp_path, text):
    path = tmp_path / "bad.toml"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(SettingsError, match=r"bad\.toml: cannot be read as TOML"):
        CleanSettings.load(Path(path), {})


def test_no_files_is_refused():
    refused({"files": []}, "files: ")


@pytest.mark.parametrize("address", ["ray://head:10001", "local", "", "head", "head:port"])
def test_a_cluster_is_named_by_host_and_port_or_auto(address):
    refused({"cluster": {"address": address}}, r"cluster\.address: has to be HOST:PORT .* or auto")


def test_gpus_above_one_are_whole():
    refused({"cluster": {"gpus_per_worker": 1.5}}, "whole number above 1")


def test_what_is_on_a_disk_of_this_machine_is_known(tmp_path):
    (tmp_path / "base").mkdir()
    given = {"files": [str(tmp_path / "none"), "hf://a"], "base": str(tmp_path / "base")}

    assert CleanSettings.load(None, given).local_paths() == (str(tmp_path / "base"),)
