"""The clean flow end to end: Prefect, Ray and DuckDB, with tiny models and no network."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

import sql
from flows.clean import clean
from tests.drops import write_drop
from tests.tiny_models import build_tiny_model, tiny_tokenizer
from tokensieve.errors import InputError, QuarantineError, SettingsError
from tokensieve.runs import load_run
from tokensieve.settings import CleanSettings, PolicySettings
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")


@pytest.fixture(scope="module")
def drop(tmp_path_factory):
    return write_drop(tmp_path_factory.mktemp("drop") / "drop.jsonl", num_rows=400)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("workspace")


def settings(models, drop, workspace, **selection):
    return CleanSettings(
        files=(str(drop),),
        base=models.base,
        reference=models.reference,
        workspace=str(workspace),
        corpus={"template": "tulu"},
        selection={"keep": 0.6, **selection},
    )


@pytest.fixture(scope="module")
def cleaned(models, drop, workspace, prefect_server, ray_cluster):
    return clean(settings(models, drop, workspace))


def column(artifact, part, name):
    receipts = artifact.committed().receipts
    lists = [artifact.read_table(r, part)[name].to_pylist() for r in receipts]
    return [values for shard in lists for values in shard]


def artifacts(workspace, summary):
    storage = LocalStorage(workspace)
    return load_run(storage, summary.run).planned_rounds(storage)[0].artifacts(storage)


def test_the_selection_is_a_full_sort_of_the_influence(cleaned, workspace):
    made = artifacts(workspace, cleaned)
    base, reference = (
        np.array([x for row in column(made[f"scores.{role}"], "shards", "nll") for x in row], float)
        for role in ("base", "reference")
    )
    influence_T = base - reference  # NaN where there is no score
    response = np.flatnonzero(~np.isnan(influence_T))
    order = response[np.argsort(-influence_T[response], kind="stable")]
    expected_T = np.zeros(len(influence_T))
    expected_T[order[: int(len(response) * 0.6)]] = 1

    weight_T = [w for row in column(made["selection"], "shards", "weight") for w in row]

    assert weight_T == expected_T.tolist()


def test_sql_and_numpy_agree_on_what_both_know(cleaned, workspace):
    made = artifacts(workspace, cleaned)
    base, reference = (
        np.array([x for row in column(made[f"scores.{role}"], "shards", "nll") for x in row], float)
        for role in ("base", "reference")
    )
    influence = (base - reference)[~np.isnan(base)]

    with sql.connect_published(LocalStorage(workspace)) as connection:
        stats = connection.execute(
            "select response_tokens, kept_tokens, mean_influence, positive_share from round_stats"
        ).fetchone()

    assert stats[:2] == (len(influence), int(len(influence) * 0.6))
    np.testing.assert_allclose(stats[2:], (influence.mean(), (influence > 0).mean()), rtol=1e-9)


def test_every_row_and_token_is_accounted_for(cleaned):
    stats = cleaned.stats

    assert (stats["read_rows"], stats["samples"]) == (400, 400)
    assert stats["response_tokens"] == stats["kept_tokens"] + stats["dropped_tokens"]
    assert [row["source"] for row in cleaned.sources] in (["add", "say"], ["say", "add"])
    assert sum(row["kept_tokens"] for row in cleaned.sources) == stats["kept_tokens"]


def test_datasets_reads_the_result_as_it_stands(cleaned, workspace, tmp_path):
    files = cleaned.places["dataset"]

    dataset = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))

    trained = sum(label != -100 for row in dataset for label in row["labels"])
    masked = sum(sum(row["assistant_masks"]) for row in dataset)
    assert set(dataset.column_names) == {
        "input_ids",
        "attention_mask",
        "labels",
        "assistant_masks",
    }
    assert trained == masked == cleaned.stats["kept_tokens"]
    assert dataset.num_rows == cleaned.stats["train_samples"]


def test_a_finished_run_again_does_no_work(cleaned, models, drop, workspace, monkeypatch):
    monkeypatch.setattr("tasks.scoring.connect", None)  # no cluster, no forward pass
    monkeypatch.setattr("tasks.corpus.IngestWorker", None)
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*.parquet")}

    again = clean(settings(models, drop, workspace))

    assert again == cleaned
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*.parquet")} == before


def test_a_schedule_gives_the_same_settings_as_json(cleaned, models, drop, workspace):
    parameters = settings(models, drop, workspace).model_dump(mode="json")

    assert clean(parameters) == cleaned


def test_a_limit_that_was_lowered_holds_for_finished_work_too(models, tmp_path):
    drop = write_drop(tmp_path / "bad.jsonl", num_rows=50, bad_rows=5)
    lenient = settings(models, drop, tmp_path / "w").model_dump()
    lenient["corpus"]["max_quarantine"] = 0.2
    clean(CleanSettings(**lenient))
    lenient["corpus"]["max_quarantine"] = 0.05

    with pytest.raises(QuarantineError, match=r"5 of 50 rows"):
        clean(CleanSettings(**lenient))


def test_another_method_costs_no_forward_pass(cleaned, models, drop, workspace, monkeypatch):
    monkeypatch.setattr("tasks.scoring.connect", None)

    rho = clean(settings(models, drop, workspace, method="rho"))

    assert rho.run != cleaned.run
    assert rho.places["base"] == cleaned.places["base"]
    assert rho.stats["empty_samples"] == 0


def test_the_random_control_needs_no_model_scores(models, drop, workspace):
    control = settings(models, drop, workspace, method="random")

    summary = clean(control.model_copy(update={"reference": None}))

    assert summary.stats["kept_tokens"] == int(summary.stats["response_tokens"] * 0.6)
    assert summary.stats["influence_tokens"] == 0


def test_protected_tokens_are_all_kept_at_no_forward_pass_and_told(
    cleaned, models, drop, workspace, monkeypatch
):
    monkeypatch.setattr("tasks.scoring.connect", None)
    chosen = settings(models, drop, workspace)
    policies = PolicySettings(protect=("eos", "numbers"))

    summary = clean(chosen.model_copy(update={"policies": policies}))

    selection = artifacts(workspace, summary)["selection"]
    words = [word for row in column(selection, "shards", "policy") for word in row if word]
    more = summary.stats["kept_tokens"] - cleaned.stats["kept_tokens"]
    assert set(words) == {"eos", "numbers"}
    assert len(words) == more > 0
    assert f"eos kept {words.count('eos'):,}" in summary.facts()["policies"]
    labels = column(selection, "train", "labels")
    assert all(row[-1] == tiny_tokenizer().eos_token_id for row in labels)
    assert summary.run != cleaned.run


def test_too_many_bad_rows_stop_the_run_and_a_higher_limit_goes_on(models, tmp_path, capsys):
    drop = write_drop(tmp_path / "bad.jsonl", num_rows=50, bad_rows=5)
    strict = settings(models, drop, tmp_path / "w")

    with pytest.raises(QuarantineError, match=r"5 of 50 rows \(10.00%\)"):
        clean(strict)
    assert "bad.jsonl:46: json_" in capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    lenient = strict.model_copy(
        update={"corpus": strict.corpus.model_copy(update={"max_quarantine": 0.1})}
    )
    summary = clean(lenient)

    assert before.items() <= {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}.items()
    assert (summary.stats["samples"], summary.stats["quarantined_rows"]) == (45, 5)


def test_duplicates_are_scored_once_and_counted(models, tmp_path):
    drop = write_drop(tmp_path / "drop.jsonl", num_rows=20)
    drop.write_text(drop.read_text() + "".join(drop.read_text().splitlines(keepends=True)[:3]))

    summary = clean(settings(models, drop, tmp_path / "w"))

    assert (summary.stats["read_rows"], summary.stats["samples"]) == (23, 20)
    assert summary.stats["skipped_rows"] == 3
    files = (tmp_path / "w").glob("selections/*/train/*.parquet")
    assert sum(pq.read_metadata(file).num_rows for file in files) == 20


def test_a_reference_with_another_tokenizer_is_refused(models, drop, tmp_path):
    other = build_tiny_model(tmp_path / "other", seed=3, vocab_size=300)
    wrong = settings(models, drop, tmp_path / "w").model_copy(update={"reference": str(other)})

    with pytest.raises(InputError):
        clean(wrong)
    assert not (tmp_path / "w" / "scores").exists()


def test_the_base_as_its_own_reference_is_refused(models, drop, tmp_path):
    same = settings(models, drop, tmp_path / "w").model_copy(update={"reference": models.base})

    with pytest.raises(SettingsError, match="same model"):
        clean(same)
