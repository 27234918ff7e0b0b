"""A model of a workspace that chose its tokens while it was trained, and the record of that."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tasks.comparison import _kept_share as kept_share
from tasks.comparison import _scored_tokens as scored_tokens
from tasks.summary import _later as later
from tasks.training import _samples_lines as samples_lines
from tasks.training import precision_lines
from tests.scripts import REPOSITORY
from tests.tiny_models import build_tiny_model
from tests.tiny_training import tiny_chosen_step
from tokensieve.artifact import Artifact
from tokensieve.planning import TrainingStep
from tokensieve.settings import SelectionSettings, TrainingSettings
from tokensieve.storage import LocalStorage
from tokensieve.training import Place, train_artifact
from tokensieve.training.reading import read_training_data
from tokensieve.verification import Verification

SETTINGS = TrainingSettings(
    tuning="full",
    precision="float32",
    step_samples=2,
    epochs=2,
    learning_rate=1e-2,
    checkpoint_minutes=0,
)
RHO_1 = SelectionSettings(method="rho-1", keep=0.5, scope="source")
TRAIN = """
import sys
from pathlib import Path
from tests.unit.test_online_publication import prepared, trained
from tokensieve.storage import LocalStorage
trained(prepared(LocalStorage(Path(sys.argv[1])), sys.argv[2]))
"""


@pytest.fixture(scope="module")
def init(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("init"), hidden=16)


def prepared(storage: LocalStorage, init: str) -> TrainingStep:
    return tiny_chosen_step(storage, init, SETTINGS, RHO_1)


def trained(step: TrainingStep, on_step=lambda tokens, note: None) -> Artifact:
    torch.set_num_threads(1)
    train_artifact(step.artifact, step.init.path, step.settings, Place(0), on_step)
    return step.artifact


@pytest.fixture(scope="module")
def made(init, tmp_path_factory) -> tuple[TrainingStep, Artifact]:
    step = prepared(LocalStorage(tmp_path_factory.mktemp("made")), str(init))
    model = trained(step)
    model.commit({"fingerprint": "as it may be"})
    return step, model


def read(model: Artifact, part: str) -> list[dict[str, object]]:
    return model.read_table(model.required_receipt(0), part).to_pylist()


def test_a_training_reads_what_its_method_looks_at_and_how_it_was_set(made):
    data = read_training_data(made[1])

    assert data.step_method.method.name == "rho-1"
    rule = data.step_method.method.rule(data.step_method.settings)
    assert (rule.keep, rule.scope, rule.direction) == (0.5, "source", "high")
    stored = data.step_method.evidence
    assert stored.sources == ["one"] * 6
    assert stored.response_T.tolist() == [False, True, True, True] * 6
    nll_T = stored.scores["reference"]["nll"]
    assert nll_T[np.isfinite(nll_T)].tolist() == [5, 6, 7, 1, 2, 3, 6, 6, 6, 7, 1, 1, 2, 2, 9]
    assert data.weight_T.reshape(6, 4).sum(axis=1).tolist() == [3, 3, 3, 0, 3, 3]


def test_members_of_a_combination_choose_in_training_in_the_scope_that_was_asked_for(
    init, tmp_path
):
    asked = {"method": "combine", "parameters": {"methods": ["rho-1", "profit"]}}
    for scope in (None, "sample"):
        step = tiny_chosen_step(
            LocalStorage(tmp_path / str(scope)),
            str(init),
            SETTINGS,
            SelectionSettings(**asked, scope=scope),
        )
        assert read_training_data(step.artifact).step_method.settings.scope == scope


def test_the_last_weight_of_every_token_is_on_record_and_null_where_there_was_no_choice(made):
    rows = read(made[1], "decisions")

    assert [row["sample_id"] for row in rows] == ["s0", "s1", "s2", "s3", "s4", "s5"]
    assert rows[3]["weight"] == [None] * 4
    assert {row["weight"][0] for row in rows} == {None}
    weights = [weight for row in rows for weight in row["weight"] if weight is not None]
    assert (len(weights), set(weights)) == (15, {0.0, 1.0})
    last_epoch = read(made[1], "steps")[3:]
    assert sum(weights) == sum(step["kept_tokens"] for step in last_epoch)


def test_what_was_chosen_is_counted_and_told(made):
    counts = made[1].required_receipt(0).counts
    steps = read(made[1], "steps")

    assert [step["kept_tokens"] for step in steps] == [3, 3, 1, 3, 3, 1]  # half of 6, 6 and 3
    assert counts["kept_tokens"] == 7
    assert counts["candidate_tokens"] == 15
    assert counts["scored_tokens"] == sum(step["scored_tokens"] for step in steps) == 2 * 5 * 3
    assert counts["tokens"] == sum(step["tokens"] for step in steps) < counts["scored_tokens"]
    rows = read(made[1], "decisions")
    assert counts["trained_samples"] == sum(1.0 in row["weight"] for row in rows)
    assert samples_lines(counts)[1] == (
        "  chosen at each step, in the last epoch: 7 of 15 tokens (46.7 %)"
    )
    manifest = Path(made[1].folder(made[1].required_receipt(0), "model"), "MANIFEST.json")
    assert json.loads(manifest.read_bytes())["counts"] == counts


def test_an_arm_keeps_what_was_kept_in_training(made):
    step, model = made

    assert step.selection.required_commit().totals["kept_tokens"] == 15
    assert kept_share([step.selection], [model]) == 7 / 18
    assert kept_share([step.selection], []) == 15 / 18
    assert Verification(model.storage).damages == []


def test_a_training_reads_whose_attention_its_method_looks_at(init, tmp_path):
    chosen = SelectionSettings(method="sstoken-online")
    step = tiny_chosen_step(LocalStorage(tmp_path), str(init), SETTINGS, chosen, attention_layer=0)

    assert read_training_data(step.artifact).step_method.attention_layer == 0


def test_losses_of_another_precision_than_the_trainings_are_told(made, init, tmp_path):
    settings = SETTINGS.model_copy(update={"precision": "bfloat16"})
    alone = SelectionSettings(method="profit")
    rho_1, profit = (
        tiny_chosen_step(LocalStorage(tmp_path / each.method), str(init), settings, each)
        for each in (RHO_1, alone)
    )

    [line] = precision_lines(rho_1)

    assert line.startswith(
        "rho-1 compares losses of the model in training, in bfloat16, with those of the reference, "
        "in float32: "
    )
    assert precision_lines(made[0]) == precision_lines(profit) == []


def test_a_summary_says_when_such_a_method_chooses_and_whether_it_has(made):
    selection = made[0].selection

    assert later(selection, is_decided=False) == (
        "of these, rho-1 chooses anew at every step of a training"
    )
    assert later(selection, is_decided=True) == (
        "rho-1 chose at every step of the training; counted is its last epoch"
    )


def scores_of_tokens(storage: LocalStorage, tokens: int, **plan: str) -> Artifact:
    scores = Artifact(storage, "scores", {"kind": "scores", "num_shards": 1, **plan})
    scores.declare()
    scores.publish(0, {"shards": pa.table({"sample_id": ["a"]})}, {"tokens": tokens})
    scores.commit()
    return scores


def test_an_arm_costs_what_every_role_scored_planted_copies_and_its_training_too(made, tmp_path):
    storage = LocalStorage(tmp_path)
    base = scores_of_tokens(storage, 1000, model="base")
    part = scores_of_tokens(storage, 250, of=base.id)
    reference = scores_of_tokens(storage, 500, model="reference")
    planted = scores_of_tokens(storage, 7, model="reference", corpus="planted")
    external = scores_of_tokens(storage, 9000, file="elsewhere")
    scores = {"base": part.id, "reference": reference.id, "external": external.id}
    selection = Artifact(
        storage, "selections", {"scores": scores, "planted": {"reference": planted.id}}
    )

    assert scored_tokens([selection], []) == 1000 + 500 + 7
    assert scored_tokens([selection, selection], [made[1]]) == 1000 + 500 + 7 + 2 * 5 * 3


def tree(storage: LocalStorage) -> dict[str, bytes]:
    """Return what is published of models, without the times that it took."""
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted((storage.root / "models").rglob("*"))
        if path.is_file() and "timings" not in path.parts
    }


@pytest.mark.parametrize("point", ["after_checkpoint:4", "before_model:0"])
def test_a_training_that_was_killed_goes_on_and_ends_with_the_very_bytes(init, tmp_path, point):
    undisturbed, storage = (LocalStorage(tmp_path / name) for name in ("undisturbed", "killed"))
    trained(prepared(undisturbed, str(init)))

    killed = subprocess.run(
        [sys.executable, "-c", TRAIN, str(storage.root), str(init)],
        cwd=REPOSITORY,
        env={**os.environ, "TOKENSIEVE_ABORT_AT": point},
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    trained(prepared(storage, str(init)))
    assert tree(storage) == tree(undisturbed)
