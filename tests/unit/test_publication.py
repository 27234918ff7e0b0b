"""A model of a workspace: trained on a selection, published whole, the same after any crash."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from tasks.training import _commit as commit_model
from tasks.training import _samples_lines as samples_lines
from tests.scripts import REPOSITORY
from tests.tiny_models import build_tiny_model
from tests.tiny_training import STEP_KEPT, tiny_step
from tokensieve.artifact import Artifact, load_artifact
from tokensieve.errors import DamagedError
from tokensieve.models import check_model_directory, load_model, model_fingerprint
from tokensieve.planning import TrainingStep
from tokensieve.settings import TrainingSettings
from tokensieve.storage import LocalStorage
from tokensieve.timings import timings
from tokensieve.training import Place, train_artifact
from tokensieve.training.reading import read_training_data
from tokensieve.verification import Verification

COMMON = {"precision": "float32", "step_samples": 2, "learning_rate": 1e-2}
SETTINGS = {
    "full": TrainingSettings(tuning="full", checkpoint_minutes=0, **COMMON),
    "lora": TrainingSettings(lora={"rank": 4}, **COMMON),
}
TRAIN = """
import sys
from pathlib import Path
from tests.unit.test_publication import prepared, trained
from tokensieve.storage import LocalStorage
trained(prepared(LocalStorage(Path(sys.argv[1])), sys.argv[2], sys.argv[3]))
"""


@pytest.fixture(scope="module")
def init(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("init"), hidden=16)


def prepared(storage: LocalStorage, init: str, tuning: str) -> TrainingStep:
    """Return the declared training of `tiny_step`."""
    return tiny_step(storage, init, SETTINGS[tuning])


def trained(step: TrainingStep, on_step=lambda tokens, note: None) -> Artifact:
    """Train the model as a worker does, and return it."""
    torch.set_num_threads(1)
    train_artifact(step.artifact, step.init.path, step.settings, Place(0), on_step)
    return step.artifact


@pytest.fixture(scope="module", params=SETTINGS)
def made(request, init, tmp_path_factory) -> tuple[TrainingStep, Artifact]:
    storage = LocalStorage(tmp_path_factory.mktemp(request.param))
    step = prepared(storage, str(init), request.param)
    return step, trained(step)


def folder(model: Artifact, name: str) -> Path:
    return Path(model.folder(model.required_receipt(0), name))


def tree(storage: LocalStorage) -> dict[str, bytes]:
    """Return all that is published, without the times that it took."""
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted(storage.root.rglob("*"))
        if path.is_file()
        and "timings" not in path.parts
        and not any(part.startswith(".tmp-") for part in path.parts)
    }


def test_training_reads_every_token_with_its_weight(made):
    data = read_training_data(made[1])

    assert data.sample_ids == ["s0", "s1", "s2", "s3", "s4", "s5"]
    assert data.num_kept_N.tolist() == STEP_KEPT
    assert data.weight_T.reshape(6, 4)[2].tolist() == [0, 1, 1, 0]


def test_the_published_folder_is_a_model_like_any_other(made, init):
    _, model = made
    path = folder(model, "model")

    check_model_directory(str(path))
    weights = load_model(str(path), "float32", 0).state_dict()

    before = load_model(str(init), "float32", 0).state_dict()
    assert weights.keys() == before.keys()
    assert any(not torch.equal(weights[name], before[name]) for name in weights)
    assert (path / "tokenizer.json").read_bytes() == (init / "tokenizer.json").read_bytes()


def test_the_manifest_says_what_the_model_was_trained_on(made):
    step, model = made
    manifest = json.loads((folder(model, "model") / "MANIFEST.json").read_bytes())

    assert manifest["model"] == model.id
    assert manifest["corpus"] == step.corpus.id
    assert manifest["selection"] == step.selection.id
    assert manifest["init"] == model_fingerprint(step.init.path)
    assert manifest["training"]["learning_rate"] == 1e-2
    assert manifest["counts"] == model.required_receipt(0).counts
    assert manifest["counts"] == {
        "samples": 6,
        "trained_samples": 5,
        "kept_tokens": 11,
        "steps": 3,
        "skipped_steps": 0,
        "tokens": 11,  # each sample is read up to its last kept token, without that
        "scored_tokens": 0,
    }
    assert manifest.keys() == {*model.plan, "model", "counts", "last_loss", "versions"}


def test_samples_that_a_selection_keeps_empty_have_their_places_in_the_steps(init, tmp_path):
    settings = SETTINGS["full"].model_copy(update={"step_samples": 1})

    model = trained(tiny_step(LocalStorage(tmp_path), str(init), settings, keep_empty=True))

    counts = model.required_receipt(0).counts
    assert (counts["steps"], counts["skipped_steps"], counts["trained_samples"]) == (6, 1, 5)
    steps = model.read_table(model.required_receipt(0), "steps")
    assert steps["loss"].null_count == 1
    assert samples_lines(counts) == [
        "  5 of 6 samples have tokens to train on; steps without any, which were skipped: 1"
    ]


def test_every_step_is_published(made):
    _, model = made
    receipt = model.required_receipt(0)
    steps = model.read_table(receipt, "steps").to_pylist()
    manifest = json.loads((folder(model, "model") / "MANIFEST.json").read_bytes())

    assert [step["step"] for step in steps] == [1, 2, 3]
    assert sum(step["kept_tokens"] for step in steps) == receipt.counts["kept_tokens"]
    assert sum(step["tokens"] for step in steps) == receipt.counts["tokens"]
    assert [step["learning_rate"] for step in steps] == pytest.approx([1e-2, 2e-2 / 3, 1e-2 / 3])
    assert manifest["last_loss"] == steps[-1]["loss"]
    assert np.isfinite([step["gradient_norm"] for step in steps]).all()


def test_only_a_trained_adapter_is_published_beside_the_model(made, init):
    step, model = made
    parts = {part.partition("/")[0] for part in model.required_receipt(0).files}
    if step.settings.tuning == "full":
        assert parts == {"model", "steps"}
        return

    assert parts == {"adapter", "model", "steps"}
    adapted = PeftModel.from_pretrained(
        LlamaForCausalLM.from_pretrained(init), folder(model, "adapter")
    )
    merged = adapted.merge_and_unload().state_dict()
    published = load_file(folder(model, "model") / "model.safetensors")
    for name, weight in published.items():
        torch.testing.assert_close(merged[name], weight)


def test_the_same_training_elsewhere_gives_the_very_bytes(made, init, tmp_path):
    step, model = made

    again = trained(prepared(LocalStorage(tmp_path), str(init), step.settings.tuning))

    assert tree(again.storage) == tree(model.storage)


def test_a_model_that_is_published_is_not_trained_again(made):
    step, model = made
    before = {path: path.stat().st_ino for path in model.storage.root.rglob("*")}
    heard = []

    trained(step, lambda tokens, note: heard.append(note))

    assert heard == []
    assert {path: path.stat().st_ino for path in model.storage.root.rglob("*")} == before


def test_no_checkpoint_stays_when_the_model_is_published(made):
    _, model = made

    assert model.storage.names(f"{model.key}/checkpoints") == []


def test_each_step_is_told_and_timed(init, tmp_path):
    heard = []
    step = prepared(LocalStorage(tmp_path), str(init), "lora")

    model = trained(step, lambda tokens, note: heard.append((tokens, note)))

    [timing] = timings(model)
    assert sum(tokens for tokens, _ in heard) == timing.tokens == 11
    assert heard[0][1].startswith("step 1  loss ")
    assert (timing.first_step, len(timing.step_seconds)) == (1, 3)


@pytest.mark.parametrize(
    ("point", "left"), [("after_checkpoint:2", ["step 3"]), ("before_model:0", [])]
)
def test_a_training_that_was_killed_goes_on_and_ends_with_the_very_bytes(
    init, tmp_path, point, left
):
    undisturbed, storage = (LocalStorage(tmp_path / name) for name in ("undisturbed", "killed"))
    trained(prepared(undisturbed, str(init), "full"))
    heard = []

    killed = subprocess.run(
        [sys.executable, "-c", TRAIN, str(storage.root), str(init), "full"],
        cwd=REPOSITORY,
        env={**os.environ, "TOKENSIEVE_ABORT_AT": point},
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    step = prepared(storage, str(init), "full")
    model = trained(step, lambda tokens, note: heard.append((tokens, note.split("  ")[0])))
    assert [note for _, note in heard] == [f"going on after step {3 - len(left)}", *left]
    assert sum(tokens for tokens, _ in heard) == 11
    assert [timing.first_step for timing in timings(model)] == [4 - len(left)]
    assert tree(storage) == tree(undisturbed)


def test_a_trained_model_is_read_once_to_be_committed_with_its_fingerprint(
    init, tmp_path, monkeypatch
):
    model = trained(prepared(LocalStorage(tmp_path), str(init), "full"))
    fingerprint = model_fingerprint(str(folder(model, "model")))
    file_digest, read = hashlib.file_digest, []

    def digest(file, name):
        read.append(Path(file.name).name)
        return file_digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    commit = commit_model(model)

    assert commit.notes == {"fingerprint": fingerprint}
    assert read.count("model.safetensors") == read.count("config.json") == 1


def test_verify_finds_a_flipped_bit_in_a_model_and_names_the_file(init, tmp_path):
    model = trained(prepared(LocalStorage(tmp_path), str(init), "lora"))
    model.commit({"fingerprint": model_fingerprint(str(folder(model, "model")))})
    assert Verification(model.storage).damages == []
    path = folder(model, "model") / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])

    [damage] = Verification(model.storage).damages

    assert damage.startswith(f"{path}: its content changed after it was published")
    with pytest.raises(DamagedError, match=r"model\.safetensors"):
        train_artifact(
            load_artifact(model.storage, "models", model.id),
            str(init),
            SETTINGS["lora"],
            Place(0),
            lambda tokens, note: None,
        )
