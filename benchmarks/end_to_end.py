"""Where the wall time of `tokensieve clean` goes, and what of it is not the models' own.

    python -m benchmarks.end_to_end --base DIR --reference DIR --template tulu FILE…

Runs the command in a fresh process and workspace, then scores the same corpus with the same models
in as many bare processes, without Prefect, Ray or results. The difference is what orchestration
costs: all but model time. The limit is 25 s plus 5 % of the model time. Then it runs the command
again, on finished work; the limit is 15 s.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch

from ray_cluster.shares import MAX_CPU_WORKERS
from tokensieve.corpus import read_shard
from tokensieve.models import load_model, resolved_dtype
from tokensieve.runs import all_runs
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings
from tokensieve.storage import LocalStorage

LIMIT_SECONDS, LIMIT_SHARE, RERUN_SECONDS = 25.0, 0.05, 15.0


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as directory:
        workspace = Path(directory) / "workspace"
        began = time.time()
        wall = _run(options, workspace)
        _print_steps(workspace, began, wall)
        model = sum(_model_seconds(workspace, path) for path in (options.base, options.reference))
        rerun = _run(options, workspace)
    limit = LIMIT_SECONDS + LIMIT_SHARE * model
    print(f"{'the models alone, bare processes':<34}{model:8.1f} s")
    print(f"{'orchestration: wall - models':<34}{wall - model:8.1f} s", end="   ")
    print(f"{(wall - model) / limit:.2f} of the limit of {limit:.1f} s")
    print(f"{'the finished run again':<34}{rerun:8.1f} s", end="   ")
    print(f"{rerun / RERUN_SECONDS:.2f} of the limit of {RERUN_SECONDS:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--base", required=True)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--template", default="model")
    return parser.parse_args()


def _run(options: argparse.Namespace, workspace: Path) -> float:
    """Return the wall seconds of the command in a process of its own."""
    began = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "flows", "clean", *options.files),
            *("--base", options.base, "--reference", options.reference),
            *("--template", options.template, "--workspace", str(workspace)),
        ],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def _print_steps(workspace: Path, began: float, wall: float) -> None:
    """Print the seconds between the documents that end each step."""
    storage = LocalStorage(workspace)
    [run] = all_runs(storage)
    made = run.planned_rounds(storage)[0].artifacts(storage)
    ends = {"set-up: start, server, plan": f"runs/{run.name}/RUN.json"}
    names = {"corpus": "ingest", "scores.base": "scoring: base, with start of Ray"}
    names |= {"scores.reference": "scoring: reference", "selection": "selection"}
    ends |= {names[step]: f"{artifact.key}/COMMIT.json" for step, artifact in made.items()}
    ends["index"] = "index/tokensieve.duckdb"
    last = began
    for step, key in ends.items():
        end = storage.path(key).stat().st_mtime
        print(f"{step:<34}{end - last:8.1f} s")
        last = end
    print(f"{'summary and exit':<34}{began + wall - last:8.1f} s")
    print(f"{'wall':<34}{wall:8.1f} s on {psutil.cpu_count()} cores")


def _model_seconds(workspace: Path, path: str) -> float:
    """Return the seconds that as many bare processes need for the corpus, once they are up."""
    workers = min(MAX_CPU_WORKERS, psutil.cpu_count())
    with ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=_load,
        initargs=(workspace, path, psutil.cpu_count() // workers),
    ) as pool:
        num_shards = max(pool.map(_num_shards, range(workers)))  # every process has loaded now
        began = time.perf_counter()
        list(pool.map(_score, range(num_shards)))
        return time.perf_counter() - began


def _load(workspace: Path, path: str, threads: int) -> None:
    global _corpus, _commit, _model
    torch.set_num_threads(threads)
    storage = LocalStorage(workspace)
    _corpus = all_runs(storage)[0].planned_rounds(storage)[0].artifacts(storage)["corpus"]
    _commit = _corpus.committed()
    _model = load_model(path, resolved_dtype("auto", on_gpu=False), num_gpus=0)


def _num_shards(process: int) -> int:
    time.sleep(1)  # so that each process gets one of these
    return _corpus.num_shards


def _score(shard: int) -> None:
    samples = read_shard(_corpus, _commit, shard)
    score_shard(_model, samples, ScoringSettings(), ("nll", "entropy"), lambda tokens: None)


if __name__ == "__main__":
    main()
