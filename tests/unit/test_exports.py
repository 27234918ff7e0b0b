"""A selection as trainers take it: what each format holds is what the selection says."""

import ast
import errno
import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_from_disk

from flows.cli import main, parser
from tests.drops import write_drop
from tests.scripts import run_script
from tests.tiny_exports import every_other, export_of, make_selected
from tests.tiny_models import build_tiny_model
from tests.tiny_workspace import begin_run, finish_run
from tokensieve.artifact import Artifact, load_artifact
from tokensieve.corpus import Shard, read_shard
from tokensieve.errors import DamagedError, InputError, ResourceError, SettingsError
from tokensieve.exports import FORMATS, Rows, find_format
from tokensieve.exports.card import weight_lines
from tokensieve.exports.card_text import card_text
from tokensieve.exports.origin import Origin
from tokensieve.runs import Attempt
from tokensieve.storage import LocalStorage, open_storage

X = -100
HOSTILE = "<script>|`[a](javascript:b)\u202e"
MAX_LENGTH = 96
TURNS = [
    {"role": "user", "content": "What is 1 + 1?"},
    {"role": "assistant", "content": "It is 2 \N{GRINNING FACE}."},
    {"role": "user", "content": "And é + <image>?"},
    {"role": "assistant", "content": "No sum."},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base, and a selection of half the response tokens of 1,001 samples in two shards."""
    directory = tmp_path_factory.mktemp("exports")
    base = build_tiny_model(directory / "base", hidden=16)
    drop = write_drop(directory / "drop.jsonl", num_rows=1000)
    with drop.open("a") as file:
        file.write(json.dumps({"source": HOSTILE, "messages": TURNS}) + "\n")
    storage = LocalStorage(directory / "workspace")
    selection = make_selected(storage, drop, base, every_other, max_length=MAX_LENGTH)
    assert selection.num_shards == 2
    return SimpleNamespace(base=base, selection=selection, output=directory / "exports")


def exported(made, format):
    """Return place and card of an export, made once for all tests."""
    export = export_of(made.selection, format, made.output, made.base)
    return export.place, export.found() or export.made()


def selected(selection: Artifact) -> Iterator[tuple[list[int], list[float]]]:
    """Yield tokens and weights of each sample."""
    corpus = load_artifact(selection.storage, "corpora", selection.plan["corpus"])
    for number, receipt in enumerate(selection.required_commit().receipts):
        shard = read_shard(corpus, corpus.required_commit(), number)
        weights = selection.read_table(receipt, "shards")["weight"].to_pylist()
        ids = [shard.input_ids_T[span].tolist() for span in shard.slices()]
        yield from zip(ids, weights, strict=True)


def trained(selection):
    """Return tokens and labels of each sample that has a label."""
    labelled = [
        (ids, [id if weight > 0 else X for id, weight in zip(ids, weights, strict=True)])
        for ids, weights in selected(selection)
    ]
    return [row for row in labelled if set(row[1]) != {X}]


def read_table(place):
    return [row for path in sorted(place.glob("data/*")) for row in pq.read_table(path).to_pylist()]


def read_labels(place):
    return [(row["input_ids"], row["labels"]) for row in read_table(place)]


def read_llama_factory(place):
    return [(row["input_ids"], row["labels"]) for row in load_from_disk(place / "data")]


def read_olmo(place):
    rows = []
    for path in sorted(place.glob("data/token_ids_part_*.npy")):
        ids = np.memmap(path, np.uint16)
        mask = np.memmap(str(path).replace("token_ids", "labels_mask"), np.bool_)
        lines = gzip.decompress(path.with_suffix(".csv.gz").read_bytes()).decode()
        for line in lines.splitlines():
            span = slice(*map(int, line.split(",")))
            rows.append(
                (ids[span].tolist(), np.where(mask[span], ids[span].astype(int), X).tolist())
            )
    return rows


def read_levanter(place):
    """Each row is filled up, and its weights stand one place before their tokens."""
    rows = []
    for row in read_table(place):
        ids, weights = row["input_ids"], row["loss_weights"]
        assert len(ids) == len(weights) == MAX_LENGTH
        length = len(np.trim_zeros(ids, "b"))
        shifted = [0, *weights[: length - 1]]
        rows.append((ids[:length], [i if w else X for i, w in zip(ids, shifted, strict=False)]))
    return rows


def read_preshifted(place):
    return [(row["tokens"], [X, *row["labels"][:-1]]) for row in read_table(place)]


def read_lines(place):
    lines = [line for path in sorted(place.glob("data/*")) for line in path.open()]
    return [(row["input_ids"], row["labels"]) for row in map(json.loads, lines)]


READERS = {
    "trl": read_labels,
    "axolotl": read_labels,
    "llama-factory": read_llama_factory,
    "olmo": read_olmo,
    "levanter": read_levanter,
    "preshifted": read_preshifted,
    "jsonl": read_lines,
}


@pytest.mark.parametrize("format", READERS)
def test_what_is_read_back_is_what_the_selection_trains_on(made, format):
    place, card = exported(made, format)
    wanted = trained(made.selection)

    assert READERS[format](place) == wanted
    num_trained = made.selection.required_commit().totals["kept_tokens"]
    assert card["written"] == {"samples": 999, "trained_tokens": num_trained}
    assert num_trained == sum(label != X for _, labels in wanted for label in labels)


def test_only_ms_swift_is_read_back_elsewhere():
    assert set(FORMATS) == {*READERS, "ms-swift"}


def test_the_rows_of_trl_are_the_training_view_of_the_selection(made):
    place, _ = exported(made, "trl")
    receipts = made.selection.required_commit().receipts
    views = [made.selection.read_table(receipt, "train").to_pylist() for receipt in receipts]

    found = [row | {"attention_mask": [1] * len(row["labels"])} for row in read_table(place)]
    assert found == [row for view in views for row in view]


def test_trainers_that_want_three_columns_get_no_other(made):
    place, _ = exported(made, "axolotl")
    wanted = ["input_ids", "attention_mask", "labels"]

    assert list(read_table(place)[0]) == wanted
    rows = load_from_disk(exported(made, "llama-factory")[0] / "data")
    assert rows.column_names == wanted
    assert (rows.split, rows[0]["attention_mask"][:2]) == ("train", [1, 1])


def test_samples_without_a_token_to_train_on_are_left_out_and_counted(made):
    card = exported(made, "trl")[1]

    assert card["read"]["samples"] == 1001
    assert card["read"]["masked_samples"] == 2  # the first of each shard


def test_messages_join_to_the_text_and_its_parts_are_trained_on_or_not(made):
    place, card = exported(made, "ms-swift")
    rows = [json.loads(line) for path in sorted(place.glob("data/*")) for line in path.open()]
    first = "".join(message["content"] for message in rows[0]["messages"])

    assert (first[:9], first[-4:]) == ("<|user|>\n", "</s>")
    assert rows[0]["messages"][0]["role"] == "user"
    assert {message["role"] for message in rows[0]["messages"][1:]} == {"assistant"}
    assert {message["loss"] for message in rows[0]["messages"][1:]} == {True, False}
    skipped = card["written"]["skipped_samples"]
    assert len(rows) == card["written"]["samples"] == 999 - skipped
    assert skipped == 1  # the trainer would look for an image


def test_each_sample_is_in_an_export_or_counted(made):
    read, written = (exported(made, "ms-swift")[1][key] for key in ("read", "written"))

    assert (
        written["trained_tokens"] - written["widened_tokens"] + written["skipped_tokens"]
        == (read["trained_tokens"])
    )


def test_a_second_export_is_found_and_costs_nothing(made):
    export = export_of(made.selection, "trl", made.output, made.base)
    place, card = exported(made, "trl")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}

    assert export.found() == card
    assert export.made() == card  # of two at once, the first stands
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert not list(made.output.glob(".tmp-*"))


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_export_has_the_same_bytes(made, format, tmp_path):
    place, _ = exported(made, format)
    again = export_of(made.selection, format, tmp_path, made.base)
    again.made()

    assert again.place.name == place.name
    recipes = set(json.loads((place / "card.json").read_text())["export"]["recipe"])
    for path in place.rglob("*"):
        if path.is_file() and path.name not in recipes:
            assert (again.place / path.relative_to(place)).read_bytes() == path.read_bytes(), path


def test_what_changes_the_bytes_changes_the_name(made):
    export = export_of(made.selection, "trl", made.output, made.base)
    newer = replace(export.format, version=2)

    names = [export.id, replace(export, base=None).id, replace(export, format=newer).id]
    names += [export_of(made.selection, "axolotl", made.output, made.base).id]
    assert len(set(names)) == 4
    assert replace(export, output=Path("/elsewhere")).id == export.id


def test_an_export_that_breaks_off_is_not_there_at_all(made, tmp_path):
    def broken(shards, directory, to):
        (directory / "data").write_text(str(next(shards).num_rows))
        raise OSError(28, "No space left on device")

    export = export_of(made.selection, "trl", tmp_path, made.base)
    export = replace(export, format=replace(export.format, write=broken))

    with pytest.raises(ResourceError, match=r"No space left on device\. Free some space"):
        export.made()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (errno.EROFS, r"Read-only file system\. Give another --output, or see that you may write"),
        (errno.EACCES, r"Permission denied\. Give another --output, or see that you may write"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(made, tmp_path, code, wanted):
    def broken(shards, directory, to):
        raise OSError(code, os.strerror(code))

    export = export_of(made.selection, "trl", tmp_path, made.base)
    export = replace(export, format=replace(export.format, write=broken))

    with pytest.raises(ResourceError, match=wanted):
        export.made()


def test_an_export_makes_the_directories_that_it_is_wanted_in(made, tmp_path):
    export = export_of(made.selection, "trl", tmp_path / "not/yet", made.base)

    assert export.found() is None
    assert export.made() == export.found()


@pytest.mark.parametrize("output", ["file", "file/below/it"])
def test_an_export_into_a_file_is_refused_before_anything_is_written(
    made, tmp_path, capsys, output
):
    (tmp_path / "file").write_text("mine")
    arguments = [made.selection.id, "--to", "trl", "--output", tmp_path / output]
    code, _, error = told([*arguments, "--workspace", made.selection.storage.root], capsys)

    assert (code, error) == (
        2,
        f"tokensieve: --output: {tmp_path / 'file'} is a file, and an export is a directory in a "
        "directory. Give another --output, or move the file away.\n",
    )
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_that_was_changed_is_refused(made, tmp_path):
    export = export_of(made.selection, "jsonl", tmp_path, made.base)
    export.made()
    (export.place / "data/train-00001-of-00002.jsonl").write_text("")

    with pytest.raises(DamagedError, match=r"data/train-00001-of-00002.jsonl has 0 bytes. Move"):
        export.found()


def test_a_file_that_is_gone_is_told(made, tmp_path):
    export = export_of(made.selection, "trl", tmp_path, made.base)
    export.made()
    (export.place / "data/train-00000-of-00002.parquet").unlink()

    with pytest.raises(DamagedError, match="is not the export that was made there"):
        export.found()


def test_what_lies_beside_the_data_is_written_anew_if_it_is_gone(made, tmp_path):
    export = export_of(made.selection, "ms-swift", tmp_path, made.base)
    card = export.made()
    names = ["card.md", "ms_swift.yaml", "tokensieve_template.py"]
    before = {name: (export.place / name).read_bytes() for name in names}
    for name in names:
        (export.place / name).unlink()

    assert sorted(export.put_right(export.found())) == names
    assert {name: (export.place / name).read_bytes() for name in names} == before
    assert export.put_right(card) == []
    assert [each.name for each in tmp_path.iterdir()] == [export.place.name]


@pytest.mark.parametrize("format", FORMATS)
def test_the_recipe_of_an_export_that_was_moved_names_its_new_place(made, format, tmp_path):
    before, after = tmp_path / 'é "old"', tmp_path / "old"
    export = export_of(made.selection, format, before, made.base)
    [recipe] = [name for name in export.made()["export"]["recipe"] if "template" not in name]
    with (export.place / recipe).open("ab") as file:
        file.write(b"# mine: \xff\r\n")
    before.rename(after)
    moved = replace(export, output=after)
    anew = moved.put_right(moved.found())
    text = (moved.place / recipe).read_bytes()

    assert anew == ([] if recipe.endswith(".py") else [recipe])
    assert moved.put_right(moved.found()) == []
    assert text.endswith(b"# mine: \xff\r\n")
    (moved.place / recipe).write_bytes(text.replace(b"# mine: \xff\r\n", b""))
    named = [str(value) for value in values(moved.place / recipe)]
    assert any(value.startswith(str(moved.place)) for value in named)
    assert not any(str(before) in value for value in named)


def test_a_byte_that_changed_is_found_before_a_push(made, tmp_path):
    export = export_of(made.selection, "trl", tmp_path, made.base)
    export.made()
    file = export.place / "data/train-00001-of-00002.parquet"
    data = bytearray(file.read_bytes())
    export.check_hashes(export.found())
    data[100] ^= 1
    file.write_bytes(data)

    with pytest.raises(DamagedError, match=r"data/train-00001-of-00002.parquet has another hash"):
        export.check_hashes(export.found())


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A selection of 6 samples of weights 1, 0.25 and -0.5, the last of which only unlearns."""

    def weigh(shard: Shard):
        weight_T = np.where(shard.scorable_T, 1, 0).astype(np.float32)
        place_T = np.cumsum(shard.scorable_T)
        weight_T[shard.scorable_T & (place_T % 3 == 0)] = 0.25
        weight_T[shard.scorable_T & (place_T % 3 == 1)] = -0.5
        last = shard.scorable_T & (np.arange(len(weight_T)) >= shard.offsets_N1[-2])
        weight_T[last] = -0.5
        return weight_T

    directory = tmp_path_factory.mktemp("signed")
    base = build_tiny_model(directory / "base", hidden=16)
    drop = write_drop(directory / "drop.jsonl", num_rows=6)
    storage = LocalStorage(directory / "workspace")
    selection = make_selected(storage, drop, base, weigh, max_length=MAX_LENGTH)
    return SimpleNamespace(base=base, selection=selection, output=directory / "exports")


def test_formats_with_weights_carry_them(signed):
    wanted = [weights for _, weights in selected(signed.selection)]
    place, card = exported(signed, "levanter")
    rows = zip(read_table(place), wanted, strict=True)

    assert [[0, *row["loss_weights"][: len(weights) - 1]] for row, weights in rows] == wanted
    lines = (exported(signed, "jsonl")[0] / "data/train-00000-of-00001.jsonl").read_text()
    assert [json.loads(line)["weights"] for line in lines.splitlines()] == wanted
    assert card["weights"] == ["Every token has the weight that the selection gave it."]
    assert card["written"]["samples"] == 6


def test_formats_without_weights_say_what_is_lost(signed):
    read, written = (exported(signed, "trl")[1][key] for key in ("read", "written"))
    weights = np.concatenate([weights for _, weights in selected(signed.selection)])

    assert written == {"samples": 5, "trained_tokens": int((weights > 0).sum())}
    assert read["masked_samples"] == 1
    fractional, unlearned = int((weights == 0.25).sum()), int((weights < 0).sum())
    assert (read["fractional_tokens"], read["unlearned_tokens"]) == (fractional, unlearned)
    assert exported(signed, "trl")[1]["weights"] == [
        "A token is trained on, fully, if its weight is above 0.",
        f"{fractional} tokens of other weights above 0 count as 1 here.",
        f"{unlearned} tokens that were to be unlearned are only left out.",
    ]


def test_a_method_that_decides_in_training_is_refused(made):
    plan = {**made.selection.plan, "method": "sstoken-online", "parameters": {}}
    selection = Artifact(made.selection.storage, "selections", plan)

    with pytest.raises(SettingsError, match="sstoken-online chooses at each step of a training"):
        export_of(selection, "trl", made.output, made.base).check()


def test_a_method_that_weighs_anew_at_each_step_is_exported_and_that_is_said(made):
    plan = {**made.selection.plan, "method": "forgetting", "parameters": {}}
    selection = Artifact(made.selection.storage, "selections", plan)
    counts = {"unlearned_tokens": 0, "fractional_tokens": 0}

    export_of(selection, "trl", made.output, made.base).check()
    assert weight_lines(find_format("trl"), counts, Origin(selection)) == [
        "A token is trained on, fully, if its weight is above 0.",
        "The method forgetting weighs the tokens anew at each step of a training; that is not in "
        "the data.",
    ]


def test_a_selection_that_trains_on_nothing_is_refused(made, tmp_path):
    drop = write_drop(tmp_path / "drop.jsonl", num_rows=2)
    nothing = make_selected(
        LocalStorage(tmp_path / "workspace"),
        drop,
        made.base,
        lambda shard: np.zeros(len(shard.input_ids_T), np.float32),
    )

    with pytest.raises(InputError, match="no sample is left to train on in the format trl"):
        export_of(nothing, "trl", tmp_path / "exports", None).made()
    assert not list((tmp_path / "exports").iterdir())


def test_the_end_of_an_answer_is_a_token_of_its_own():
    shard = Shard(
        sample_ids=["a", "b"],
        offsets_N1=np.array([0, 6, 8]),
        input_ids_T=np.arange(8, dtype=np.int32),
        sources=["", ""],
        response_T=np.array([0, 1, 1, 0, 1, 1, 1, 1], dtype=bool),
        turn_T=np.array([0, 0, 0, 1, 1, 2, 2, 2], dtype=np.int16),
    )
    rows = Rows(shard, np.ones(8, dtype=np.float32))

    assert np.flatnonzero(rows.ends_T).tolist() == [2, 4, 5, 7]
    taken = rows.taken(np.array([False, True]))
    assert (taken.shard.sample_ids, taken.shard.input_ids_T.tolist()) == (["b"], [6, 7])
    assert np.flatnonzero(taken.ends_T).tolist() == [1]


def test_the_card_counts_the_ends_of_answers_and_special_tokens(made):
    card = exported(made, "trl")[1]
    ids, weights = map(np.concatenate, zip(*selected(made.selection), strict=True))

    assert card["read"]["answers"] == 1002
    assert card["special_tokens"] == [
        {
            "token_id": 1,
            "text": "</s>",
            "response_tokens": 1002,
            "trained_tokens": int(weights[ids == 1].sum()),
        }
    ]
    assert 400 < card["read"]["ended_answers"] < 600
    assert card["selection"]["settings"]["method"] == "full"
    assert card["corpus"]["template"] == {"name": "tulu", "fingerprint": "tulu-1"}
    assert (card["selection"]["made"], card["selection"]["runs"]) == (None, [])  # no run made it


def test_the_card_tells_the_runs_that_made_the_selection_and_when_the_first_began(made, tmp_path):
    drop = write_drop(tmp_path / "drop.jsonl", num_rows=3)
    storage = LocalStorage(tmp_path / "workspace")
    selection = make_selected(storage, drop, made.base, every_other)
    corpus = load_artifact(storage, "corpora", selection.plan["corpus"])
    finish_run(storage, "full-1", [(corpus, {}, selection)])
    begin_run(storage, "other-1")
    for host, started in (("later", 7200.0), ("first", 3600.0)):
        Attempt(flow_run=host, host=host, pid=1, started=started).publish(storage, "full-1")
    Attempt(flow_run="x", host="x", pid=1, started=1.0).publish(storage, "other-1")

    told = export_of(selection, "trl", tmp_path / "exports", None).made()["selection"]

    assert told["runs"] == ["full-1"]
    assert told["made"] == "1970-01-01T01:00:00+00:00"


def test_the_card_shows_names_of_users_as_text_and_the_hub_its_head(made):
    card = exported(made, "trl")[1]
    card["corpus"]["inputs"][0]["source"] = HOSTILE
    card["special_tokens"][0]["text"] = HOSTILE
    text = card_text(card)
    _, head, body = text.split("---\n", 2)

    [config] = yaml.safe_load(head)["configs"]
    assert config["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert not any(mark in body for mark in ("<script>", "](", "\u202e"))
    assert body.count("&#60;script&#62;&#124;&#96;&#91;a&#93;(javascript:b)") == 2
    rows = [line.replace("\\|", "").count("|") for line in body.splitlines() if "script" in line]
    assert rows == [5, 4]  # the cells are as many as the heading has


@pytest.mark.parametrize("format", FORMATS)
def test_the_recipe_names_the_export_and_the_model(made, format, tmp_path):
    output = tmp_path / 'it\'s "here": {x}'
    export = export_of(made.selection, format, output, made.base)
    card = export.made()
    named = [value for name in card["export"]["recipe"] for value in values(export.place / name)]

    assert any(str(export.place) in str(value) for value in named)
    assert str(made.base) in named


def values(path):
    """Return the values that a recipe names, where it lies now."""
    if path.suffix != ".py":
        return [*leaves(yaml.safe_load(path.read_text()))]
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    names = {"Path": Path, "__file__": str(path)}
    return [
        eval(ast.unparse(node.value), names)
        for node in found
        if node.targets[0].id in ("DATA", "DIRECTORY", "MODEL")
    ]


def leaves(value):
    """Yield the values of a YAML document."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def test_a_workspace_on_s3_is_exported_the_same(made, s3, tmp_path):
    storage = open_storage(s3.address(), s3.settings)
    drop = write_drop(tmp_path / "drop.jsonl", num_rows=5)
    near = make_selected(LocalStorage(tmp_path / "near"), drop, made.base, every_other)
    far = make_selected(storage, drop, made.base, every_other)
    card = export_of(near, "trl", tmp_path / "from-near", None).made()
    found = export_of(far, "trl", tmp_path / "from-far", None).made()

    assert card["written"]["samples"] == 4
    assert found == card


def told(arguments, capsys):
    """Return exit code, output and error of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_the_command_writes_and_tells(made, tmp_path, capsys):
    workspace = made.selection.storage.root
    arguments = [made.selection.id, "--to", "trl", "--workspace", workspace]
    arguments += ["--output", tmp_path, "--base", made.base]
    code, out, _ = told(arguments, capsys)

    name = export_of(made.selection, "trl", tmp_path, made.base).place.name
    lines = out.splitlines()
    assert (code, lines[0]) == (0, str(tmp_path / name))
    assert lines[1].startswith("  999 samples; ")
    assert lines[2] == "  left out: 2 samples without a token to train on"
    assert lines[-1] == "  how to train: train.py; what it is: card.md"
    assert told(arguments, capsys)[1].splitlines()[-1] == (
        "  stands there already, each file of data of its size; nothing was written"
    )
    (tmp_path / name / "train.py").unlink()
    assert told(arguments, capsys)[1].splitlines()[-1] == (
        "  stands there already, each file of data of its size; written anew: train.py"
    )


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (["--to", "olmoo"], "--to: there is no format 'olmoo'. Did you mean olmo?"),
        (["--to", "olmo"], "--base: is missing; the format olmo is made with the tokenizer"),
        (["--to", "trl", "--output", "s3://a/b"], "--output: 's3://a/b' is an address."),
        (
            ["--to", "llama-factory", "--push", "a/b"],
            "--push: the format llama-factory is no",
        ),
        (["--to", "trl", "--push", "a/b/c"], "--push: 'a/b/c' is no name on the hub"),
        (["--to", "trl", "--push", "a/b"], "--push: HF_HUB_OFFLINE is set"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    made, tmp_path, capsys, monkeypatch, more, wanted
):
    monkeypatch.chdir(tmp_path)
    workspace = made.selection.storage.root
    code, _, error = told([made.selection.id, *more, "--workspace", workspace], capsys)

    assert (code, error.startswith(f"tokensieve: {wanted}")) == (2, True), error
    assert not list(tmp_path.iterdir())


def test_a_model_with_another_tokenizer_is_refused(made, tmp_path, capsys):
    other = build_tiny_model(tmp_path / "other", vocab_size=300, hidden=16)
    arguments = [made.selection.id, "--to", "trl", "--base", other]
    code, _, error = told([*arguments, "--workspace", made.selection.storage.root], capsys)

    assert code == 2
    assert "has another tokenizer than the one that made the selection's corpus" in error


def test_the_help_names_every_format(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["export", "--help"])
    shown = " ".join(capsys.readouterr().out.split())

    for name in FORMATS:
        assert f" {name}" in shown
        assert find_format(name).name == name


def test_an_export_without_a_base_is_made_and_found_without_loading_torch(made, tmp_path):
    script = (
        "import sys\n"
        "from flows.cli import main\n"
        "try: main(['export', *sys.argv[1:]])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    arguments = [made.selection.id, "--to", "trl", "--output", tmp_path]
    arguments += ["--workspace", made.selection.storage.root]

    for last in ("  how to train: ", "  stands there already"):
        done = run_script(script, *arguments)
        assert done.stdout.splitlines()[-2].startswith(last), done.stderr
        assert done.stdout.splitlines()[-1] == "False"
