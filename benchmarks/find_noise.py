"""How well each method finds planted noise, without training anything.

    python benchmarks/find_noise.py                                         # the demo's models
    python benchmarks/find_noise.py SFT.jsonl BASE REFERENCE [TEMPLATE]     # a real corpus

Plants noise into 40 % of the answers, with three seeds, and prints for each method that acts once:
the share that it keeps, AUROC of telling noise from clean tokens by kind of noise, their mean,
precision and mean recall; random beside them. At last what the sieve keeps of the clean corpus.
`tokensieve benchmark` does all of this on a workspace, and trains on what was kept.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tokensieve.chat import Encoder
from tokensieve.corpus import Float32s, Int8s, Shard
from tokensieve.methods import Evidence, PlantedEvidence, Selector, Source, find_method
from tokensieve.models import input_embeddings, load_model, load_tokenizer
from tokensieve.noise.corpus import Record, make_records
from tokensieve.noise.demo import NOISE_RATE, make_demo
from tokensieve.noise.encoding import encode_records
from tokensieve.noise.finding import Finding, find_noise
from tokensieve.noise.labels import corpus_labels
from tokensieve.noise.planting import KINDS, plant_noise
from tokensieve.planning.evidence import columns_of
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings, SelectionSettings
from tokensieve.sieve import Vocabulary, plant, planted_share
from tokensieve.templates import load_template
from tokensieve.vocabulary import vocabulary_table

NAMES = (
    *("random", "fixed-model", "rho", "reference-loss", "reference-entropy", "combine"),
    *("sstoken", "xtf", "xtf-released", "sieve"),
)
METHODS = {name: find_method(name) for name in NAMES}
COLUMNS = columns_of(METHODS.values())
SEEDS = (0, 1, 2)
SCORING = ScoringSettings(dtype="float32")


@dataclass(frozen=True)
class Models:
    """The models, and what turns records into samples."""

    paths: Mapping[str, str]
    encoder: Encoder
    vocabulary: Vocabulary

    def scores(self, shard: Shard) -> dict[str, dict[str, Float32s]]:
        """Return all columns of both roles."""
        found = {}
        for role, path in self.paths.items():
            model = load_model(path, SCORING.dtype, num_gpus=0)
            found[role] = score_shard(model, shard, SCORING, COLUMNS[role], _ignore)[0]
        return found

    def source(self, shard: Shard, seed: int) -> Source:
        """Return what methods look at: the shard, and a copy of it with noise of our own."""
        evidence = Evidence(shard, self.scores(shard), seed)
        share = planted_share(len(shard.input_ids_T))
        copy, label_P = plant(shard, self.vocabulary, share, seed=0)
        planted = PlantedEvidence(Evidence(copy, self.scores(copy), seed), label_P)
        return Source(
            lambda number: evidence,
            num_shards=1,
            embeddings=partial(input_embeddings, self.paths["base"]),
            planted=lambda: iter([planted]),
            vocabulary=lambda: self.vocabulary,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sft", type=Path, nargs="?")
    parser.add_argument("models", nargs="*", metavar="BASE REFERENCE [TEMPLATE]")
    options = parser.parse_args()
    if options.sft:
        base, reference, *template = options.models
        records = [json.loads(line) for line in options.sft.read_text("utf-8").splitlines()]
        report(records, base, reference, *(template or ["tulu"]))
        return
    with tempfile.TemporaryDirectory() as directory:
        demo = make_demo(Path(directory) / "demo")
        report(make_records(1200, seed=101), str(demo.base), str(demo.reference), "model")


def report(records: list[Record], base: str, reference: str, template: str) -> None:
    tokenizer = load_tokenizer(base)
    table = vocabulary_table(tokenizer)
    vocabulary = Vocabulary.of(table["text"].to_pylist(), table["special"].to_pylist())
    encoder = Encoder(tokenizer, load_template(template, tokenizer), max_length=1024)
    models = Models({"base": base, "reference": reference}, encoder, vocabulary)
    print_row("", ["kept", *KINDS, "mean", "spread", "precision", "recall"])
    for name, rows in findings(models, records).items():
        means = [each.mean_auroc for _, each in rows]
        aurocs = [np.mean([each.auroc[kind] for _, each in rows]) for kind in KINDS]
        recall = np.mean([list(each.recall.values()) for _, each in rows])
        precision = np.mean([each.precision for _, each in rows])
        kept = np.mean([share for share, _ in rows])
        numbers = (kept, *aurocs, np.mean(means), np.std(means, ddof=1), precision, recall)
        print_row(name, [f"{number:.3f}" for number in numbers])
    clean = encode_records(records, encoder)
    _, weight_T = decided("sieve", models.source(clean, seed=0))
    print(f"\nof the clean corpus the sieve keeps {weight_T[clean.scorable_T].mean():.2%}")


def findings(models: Models, records: list[Record]) -> dict[str, list[tuple[float, Finding]]]:
    """Return, by method, the share kept and what was found with each seed."""
    found: dict[str, list[tuple[float, Finding]]] = {name: [] for name in NAMES}
    for shard, label_T, source in noisy(models, records):
        for name in NAMES:
            preference_T, weight_T = decided(name, source)
            finding = find_noise(label_T, shard.scorable_T, preference_T, weight_T)
            found[name].append((float(weight_T[shard.scorable_T].mean()), finding))
    return found


def noisy(models: Models, records: list[Record]) -> Iterator[tuple[Shard, Int8s, Source]]:
    for seed in SEEDS:
        planted_into, planted = plant_noise(records, NOISE_RATE, seed)
        shard = encode_records(planted_into, models.encoder)
        label_T = corpus_labels(planted_into, {each.id: each for each in planted}, models.encoder)
        yield shard, label_T, models.source(shard, seed)


def decided(name: str, source: Source) -> tuple[np.ndarray, Float32s]:
    """Return what the method prefers, higher what it would rather keep, and the weights."""
    method = METHODS[name]
    settings = SelectionSettings(method=name, keep=0.6)
    decision = Selector.of(method, settings, source).decide(source.read(0))
    sign = -1.0 if method.direction == "low" else 1.0
    return sign * np.nan_to_num(decision.score_T), decision.weight_T


def print_row(name: str, cells: list[str]) -> None:
    print(f"{name:19}" + "".join(f"{cell:>13}" for cell in cells), flush=True)


def _ignore(num_tokens: int) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    main()
