"""How much planted noise each method removes, and how much of what is clean.

    python benchmarks/find_noise.py                               # the demo's corpus and models
    python benchmarks/find_noise.py SFT.jsonl BASE REFERENCE      # noise planted into a real corpus

Prints, for each method at keep 0.6, the share of the tokens of each kind that it removes. Random
removes 0.4 of everything; a good method removes less of what is clean and more of what is noise.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tokensieve.chat import Encoder
from tokensieve.corpus import Float32s, Shard
from tokensieve.methods import METHODS, Evidence, Method
from tokensieve.models import load_model, load_tokenizer
from tokensieve.noise.corpus import Record
from tokensieve.noise.demo import NOISE_RATE, make_demo
from tokensieve.noise.encoding import encode_records
from tokensieve.noise.labels import corpus_labels
from tokensieve.noise.planting import KINDS, Planted, plant_noise, read_planted
from tokensieve.scoring import score_shard
from tokensieve.selection import select_shard
from tokensieve.settings import ScoringSettings, SelectionSettings
from tokensieve.templates import load_template
from tokensieve.thresholds import find_thresholds

SCORING = ScoringSettings(dtype="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sft", type=Path, nargs="?")
    parser.add_argument("models", type=Path, nargs="*")
    options = parser.parse_args()
    if options.sft:
        records = [json.loads(line) for line in options.sft.read_text("utf-8").splitlines()]
        records, planted = plant_noise(records, NOISE_RATE, seed=0)
        report(records, {each.id: each for each in planted}, options.models, "tulu")
        return
    with tempfile.TemporaryDirectory() as directory:
        demo = make_demo(Path(directory) / "demo")
        records = [json.loads(line) for line in demo.corpus.read_text("utf-8").splitlines()]
        report(records, read_planted(demo.planted), [demo.base, demo.reference], "model")


def report(
    records: list[Record], planted: Mapping[str, Planted], models: list[Path], template: str
) -> None:
    tokenizer = load_tokenizer(str(models[0]))
    encoder = Encoder(tokenizer, load_template(template, tokenizer), max_length=1024)
    shard = encode_records(records, encoder)
    label_T = corpus_labels(records, planted, encoder)
    scores = {
        role: scored(model, shard)
        for role, model in zip(("base", "reference"), models, strict=True)
    }
    influence_T = scores["base"]["nll"] - scores["reference"]["nll"]
    kinds = {name: shard.scorable_T & (label_T == k) for k, name in enumerate(("clean", *KINDS))}
    kinds["all noise"] = shard.scorable_T & (label_T > 0)
    print_row("", list(kinds))
    print_row("tokens", [str(np.count_nonzero(kind_T)) for kind_T in kinds.values()])
    print_row("mean influence", [f"{influence_T[kind_T].mean():+.2f}" for kind_T in kinds.values()])
    for name in ("fixed-model", "rho", "random"):
        weight_T = weights(METHODS[name], Evidence(shard, scores, seed=0))
        print_row(name, [f"{(weight_T[kind_T] == 0).mean():.3f}" for kind_T in kinds.values()])


def scored(model: Path, shard: Shard) -> dict[str, Float32s]:
    loaded = load_model(str(model), SCORING.dtype, num_gpus=0)
    return score_shard(
        loaded, shard, SCORING, ("nll", "entropy"), on_batch=lambda num_tokens: None
    )[0]


def weights(method: Method, evidence: Evidence) -> Float32s:
    rule = method.rule(SelectionSettings(method=method.name, keep=0.6))
    shard = method.scored(evidence)
    return select_shard(shard, 0, rule, find_thresholds([shard].__getitem__, 1, rule))


def print_row(name: str, cells: list[str]) -> None:
    print(f"{name:15}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
