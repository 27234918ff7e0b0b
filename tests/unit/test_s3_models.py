"""Models on S3: as on a disk, fetched once to each machine, refused for the same reasons."""

import multiprocessing
import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ray_cluster.model_worker import ModelWorker, check_unchanged
from tasks.benchmark import mark_noise, plant_drop
from tests.fault_proxy import fault_proxy
from tests.s3_server import SECRET, new_bucket
from tests.tiny_models import build_tiny_model
from tests.tiny_plans import commit_corpus, commit_model, end_round, make_inputs
from tokensieve.errors import InputError, SettingsError
from tokensieve.external import read_external
from tokensieve.ingest.directories import one_file
from tokensieve.models import ModelPlace, fetching, input_embeddings, load_model
from tokensieve.planning import (
    check_evolve_given,
    compare_settings,
    model_spec,
    next_round,
    noisy_corpus,
    plan_clean,
    plan_evolve,
    plan_train,
)
from tokensieve.settings import (
    BenchmarkSettings,
    CleanSettings,
    EvolveSettings,
    S3Settings,
    TrainSettings,
)

FILES = {"config.json", "generation_config.json", "model.safetensors"} | {
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("model") / "base", seed=1, hidden=16)


@pytest.fixture
def place(s3, model):
    """The model on S3, with what lies beside models."""
    put(s3, model, "models/base")
    s3.put("models/base/", b"")
    s3.put("models/base/chat/templates/one.jinja", b"{{ messages }}")
    s3.put("models/base-old/model.safetensors", b"another one")
    return ModelPlace(s3.address("models/base"), s3.settings)


def put(s3, directory: Path, prefix: str) -> None:
    for path in directory.iterdir():
        s3.put(f"{prefix}/{path.name}", path.read_bytes())


def through(place: ModelPlace, proxy) -> ModelPlace:
    return ModelPlace(place.address, S3Settings(endpoint=proxy.endpoint))


def num_read(proxy) -> int:
    """How many objects were asked for, listings not counted."""
    return len([request for request in proxy.requests if "list-type" not in request])


def another_machine(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))


# --- the same as on a disk


def test_a_model_is_what_its_local_copy_is(place, model):
    local = model_spec(ModelPlace(str(model), S3Settings()), "float32", on_gpu=False)
    spec = model_spec(place, "float32", on_gpu=False)

    assert (spec.fingerprint, spec.companions) == (local.fingerprint, local.companions)
    here = Path(spec.path)
    assert here.name == "base"
    assert {path.name for path in here.iterdir()} == FILES | {"chat"}
    assert (here / "chat/templates/one.jinja").read_bytes() == b"{{ messages }}"
    assert np.array_equal(input_embeddings(spec.path), input_embeddings(local.path))


def test_its_losses_are_those_of_its_local_copy(place, model):
    worker, ids = ModelWorker(0), torch.arange(40)[None]
    local = load_model(str(model), "float32", 0)
    spec = pickle.loads(pickle.dumps(model_spec(place, "float32", on_gpu=False)))

    assert torch.equal(worker.scorer(spec)(ids).logits, local(ids).logits)


def test_what_travels_to_other_machines_holds_no_secret(place):
    assert SECRET.encode() not in pickle.dumps(model_spec(place, "float32", on_gpu=False))


def test_a_model_larger_than_a_block_is_whole(place, model, monkeypatch):
    monkeypatch.setattr(fetching, "_BLOCK_BYTES", 1000)

    here = Path(place.path)

    for name in FILES:
        assert (here / name).read_bytes() == (model / name).read_bytes()


# --- fetched once


def test_a_model_is_fetched_once(place, s3_proxy):
    first = through(place, s3_proxy).path
    num_first = num_read(s3_proxy)

    assert num_first == 6
    assert through(place, s3_proxy).path == first
    assert num_read(s3_proxy) == num_first


def _path_of(place: ModelPlace) -> str:
    return place.path


@pytest.fixture(scope="module")
def fetched(s3_server, model, tmp_path_factory):
    """A model that two processes have asked for at once; they have ended."""
    bucket = new_bucket(s3_server)
    put(bucket, model, "models/base")
    with pytest.MonkeyPatch.context() as environment, fault_proxy(s3_server) as proxy:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        place = ModelPlace(bucket.address("models/base"), S3Settings(endpoint=proxy.endpoint))
        with multiprocessing.get_context("spawn").Pool(2) as processes:
            paths = processes.map(_path_of, [place] * 2, chunksize=1)
        yield SimpleNamespace(bucket=bucket, proxy=proxy, paths=paths)


def test_processes_that_come_at_once_fetch_it_once(fetched):
    assert len(set(fetched.paths)) == 1
    assert num_read(fetched.proxy) == len(FILES)


def test_a_copy_is_for_nobody_else_to_read(place):
    home = Path(place.path).parents[2]

    assert home == Path(os.environ["XDG_CACHE_HOME"], "tokensieve")
    assert home.stat().st_mode & 0o077 == 0


def test_a_model_that_is_replaced_is_fetched_anew_and_the_old_copy_stays(place, s3, model):
    before = Path(place.path)
    s3.put("models/base/config.json", (model / "config.json").read_bytes() + b"\n")

    after = Path(place.path)

    assert after != before
    assert (after / "config.json").read_bytes() == (before / "config.json").read_bytes() + b"\n"


def test_a_killed_fetch_leaves_nothing_that_counts(place, s3_proxy):
    s3_proxy.inject("denied", "GET .*safetensors", times=1)

    with pytest.raises(InputError, match="do not allow s3:GetObject"):
        _ = through(place, s3_proxy).path

    assert {path.name for path in Path(through(place, s3_proxy).path).iterdir()} >= FILES


def test_a_full_disk_costs_the_copies_that_no_process_uses(fetched, model, monkeypatch):
    [unused, _] = map(Path, fetched.paths)
    others = []
    monkeypatch.setattr(fetching, "_FREE_SHARE", 1.0)
    for name in ("second", "third"):
        put(fetched.bucket, model, f"models/{name}")
        address = fetched.bucket.address(f"models/{name}")
        others.append(Path(ModelPlace(address, fetched.bucket.settings).path))

    assert not unused.exists()
    assert [path.is_dir() for path in others] == [True, True]


class Killed(BaseException):
    """The process ends here."""


def test_a_copy_whose_removal_was_killed_is_fetched_anew_and_the_rest_of_it_goes(
    place, s3, model, monkeypatch
):
    copy = Path(place.path)
    fetching._use.cache_clear()  # as if the process that used it had ended
    put(s3, model, "models/other")
    other = ModelPlace(s3.address("models/other"), s3.settings)

    def die(directory: Path, **_: object) -> None:
        next(directory.rglob("*.safetensors")).unlink()
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr(fetching, "_FREE_SHARE", 1.0)
        killed.setattr(shutil, "rmtree", die)
        with pytest.raises(Killed):
            _ = other.path

    assert Path(place.path) == copy
    assert {path.name for path in copy.iterdir()} == FILES | {"chat"}
    assert len([path for path in copy.parents[1].iterdir() if path.is_dir()]) == 1


# --- what is refused


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pytorch_model.bin", "may hold a pickle"),
        ("modeling.py", "is code"),
        ("run.sh", "is not a kind of file"),
        ("x/../../escape.json", "can be no name of a file"),
        ("x//y.json", "can be no name of a file"),
    ],
)
def test_an_unsafe_file_is_refused_by_its_name_before_anything_is_read(
    place, s3, s3_proxy, name, told
):
    s3.put(f"models/base/{name}", b"x")

    with pytest.raises(InputError, match=told) as caught:
        _ = through(place, s3_proxy).path

    assert str(caught.value).startswith(place.address)
    assert num_read(s3_proxy) == 0


def test_what_is_wrong_inside_is_told_with_the_address(place, s3):
    s3.put("models/base/config.json", b"{}")

    with pytest.raises(InputError, match="model_type") as caught:
        _ = place.path

    assert str(caught.value).startswith(f"{place.address}/config.json:model_type")
    assert "cache" not in str(caught.value)


def test_where_nothing_lies_there_is_no_model(s3):
    with pytest.raises(InputError, match=r"models/gone: nothing lies there"):
        _ = ModelPlace(s3.address("models/gone"), s3.settings).path
    with pytest.raises(SettingsError, match="is no s3:// address"):
        _ = ModelPlace("gs://bucket/model", s3.settings).path


def test_a_worker_refuses_a_model_that_is_not_the_one_that_was_planned_with(
    place, s3, model, monkeypatch, tmp_path
):
    spec = model_spec(place, "float32", on_gpu=False)
    another_machine(monkeypatch, tmp_path)
    check_unchanged(spec)
    s3.put("models/base/tokenizer_config.json", b"{}")

    with pytest.raises(InputError, match=r"models/base: the model changed since the run began"):
        check_unchanged(spec)


# --- trained models of a workspace on S3


@pytest.fixture
def inputs(s3, tmp_path):
    """Everything on S3: models, drop, warm-up and workspace."""
    given = make_inputs(tmp_path / "given")
    for name in ("base", "reference"):
        put(s3, Path(getattr(given, name)), f"models/{name}")
    for name in ("drop", "warmup"):
        s3.put(f"drops/{name}.jsonl", Path(getattr(given, name)).read_bytes())
    return {
        "files": (s3.address("drops/drop.jsonl"),),
        "base": s3.address("models/base"),
        "workspace": s3.address("runs"),
        "s3": s3.settings,
        "corpus": {"template": "tulu"},
    }


def test_the_next_round_begins_with_the_model_that_the_last_one_trained(
    inputs, s3, monkeypatch, tmp_path
):
    settings = EvolveSettings(**inputs, warmup=(s3.address("drops/warmup.jsonl"),))
    check_evolve_given(settings)
    plan = plan_evolve(settings, on_gpu=False)
    plan.declare()
    for corpus in plan.corpora.values():
        commit_corpus(corpus)
    trained = end_round(plan).training.artifact

    reference = next_round(plan).training.init

    assert reference.fingerprint == "after round 0"
    [receipt] = trained.required_commit().receipts
    assert str(reference.place) == trained.folder(receipt, "model")
    assert str(reference.place).startswith(s3.address(f"runs/models/{trained.id}/model-"))
    another_machine(monkeypatch, tmp_path)
    assert {path.name for path in Path(reference.path).iterdir()} == FILES
    assert reference.companions == plan.base.model.companions


def test_a_training_begins_with_a_model_of_the_workspace_or_of_an_address(inputs, s3):
    cleaned = plan_clean(CleanSettings(**inputs, selection={"method": "full"}), on_gpu=False)
    cleaned.declare()
    commit_corpus(cleaned.corpus)
    selection = cleaned.selection.artifact
    for shard in range(selection.num_shards):
        selection.publish(shard, {}, {"tokens": 1})
    selection.commit()
    given = {key: inputs[key] for key in ("base", "workspace", "s3")}
    first = plan_train(TrainSettings(**given, selection=selection.id), on_gpu=False)
    base = Path(first.training.init.path)
    commit_model(first.training.artifact, str(base), "trained")

    of_workspace = TrainSettings(**given, selection=selection.id, init=first.training.artifact.id)
    of_address = TrainSettings(**given, selection=selection.id, init=s3.address("models/reference"))

    assert plan_train(of_workspace, on_gpu=False).training.init.fingerprint == "trained"
    reference = plan_train(of_address, on_gpu=False).training.init
    assert str(reference.place) == s3.address("models/reference")
    assert reference.fingerprint != first.training.init.fingerprint


def test_a_noisy_copy_of_a_drop_lies_in_the_workspace_for_every_machine(
    inputs, s3, monkeypatch, tmp_path
):
    settings = BenchmarkSettings(**inputs, holdout=inputs["files"], noise_rate=1.0)

    noisy = plant_drop.fn(settings, 0)
    corpus = noisy_corpus(settings, noisy)
    another_machine(monkeypatch, tmp_path)
    commit_corpus(corpus)
    marks = mark_noise.fn(settings, noisy, corpus)

    assert [str(file.path) for file in corpus.inventory.files] == [s3.address(f"runs/{noisy.drop}")]
    assert f"runs/{marks}" in s3.keys("runs/noise/")
    compared = compare_settings(settings, noisy, marks, 0)
    external = read_external(one_file(compared.external, settings.s3))
    assert len(external.rows) == corpus.artifact.required_commit().totals["scored"]
    assert (external.values_V < 0).any()
