"""Exports as their trainers read them, with the trainers' own code.

TRL is installed with the other tools. The others want versions of their own: TOKENSIEVE_CONSUMERS
names a directory of their environments, DIR/olmo/bin/python and so on; those there are asked.
"""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM

from tests.drops import write_drop
from tests.tiny_exports import every_other, export_of, make_selected
from tests.tiny_models import build_tiny_model, tiny_tokenizer
from tests.unit.test_architecture import ROOT
from tokensieve.storage import LocalStorage

CONSUMERS = Path(os.environ.get("TOKENSIEVE_CONSUMERS", "/nowhere"))
READERS = {
    "olmo": "olmo",
    "levanter": "levanter",
    "axolotl": "axolotl",
    "llama-factory": "llama-factory",
    "preshifted": "torchtune",
    "ms-swift": "ms-swift",
}
"""The environment of each format's trainer."""
MAX_LENGTH = 96


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base, a selection of half the response tokens of 23 samples, and the tokens to train on."""
    directory = tmp_path_factory.mktemp("consumers")
    base = build_tiny_model(directory / "base", hidden=16)
    drop = write_drop(directory / "drop.jsonl", num_rows=23)
    storage = LocalStorage(directory / "workspace")
    selection = make_selected(storage, drop, base, every_other, max_length=MAX_LENGTH)
    [receipt] = selection.required_commit().receipts
    labels = np.concatenate(selection.read_table(receipt, "train")["labels"].to_pylist())
    trained = sorted(labels[labels != -100].tolist())
    output = directory / "exports"
    return SimpleNamespace(base=base, selection=selection, output=output, trained=trained)


def exported(made, format):
    export = export_of(made.selection, format, made.output, made.base)
    return export.place, export.found() or export.made()


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_trl_trains_on_the_tokens_of_the_selection(made, packing, tmp_path):
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(1)
    place, _ = exported(made, "trl")
    arguments = SFTConfig(
        output_dir=str(tmp_path),
        packing=packing,
        max_length=MAX_LENGTH,
        max_steps=2,
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(made.base, attn_implementation="eager"),
        args=arguments,
        processing_class=tiny_tokenizer(),
        train_dataset=load_dataset(
            "parquet", data_files=str(place / "data/*"), split="train", cache_dir=str(tmp_path)
        ),
    )
    found = [
        label
        for batch in trainer.get_train_dataloader()
        for label in batch["labels"][batch["labels"] != -100].tolist()
    ]

    assert sorted(found) == made.trained
    assert trainer.train().global_step == 2


@pytest.mark.parametrize("format", READERS)
def test_a_trainer_reads_the_tokens_of_the_selection(made, format, tmp_path):
    python = CONSUMERS / READERS[format] / "bin/python"
    if not python.exists():
        pytest.skip(f"no environment {python}")
    place, card = exported(made, format)
    reader = ROOT / f"tests/consumers/{READERS[format].replace('-', '_')}_reader.py"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, reader, place, str(MAX_LENGTH)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["rows"] == card["written"]["samples"] == 22
    assert told["trained"] == made.trained


def test_every_trainer_but_that_of_tests_has_a_reader():
    readers = {path.stem for path in (ROOT / "tests/consumers").glob("*_reader.py")}

    assert readers == {f"{name.replace('-', '_')}_reader" for name in READERS.values()}
