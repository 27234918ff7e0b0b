"""What a report costs: processor time to make it, its size, and how soon a browser answers on it.

    python -m benchmarks.report_page 6 7 --directory DIR    # 10^6, 10^7 tokens

Draws a corpus and the scores of two models, as `scale_run.py` does, chooses its tokens in two ways,
and reports the first: 500 samples alone, and 500 beside the other choice. Ready is a page that is
parsed, whose script has run, and that shows how many samples it has: what that took the main thread
of headless Chromium. Prints each beside its limit.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.scale_run import SELECTIONS, SHARD_TOKENS, STEPS
from tasks.report import write_report
from tests.browser import browser
from tokensieve.storage import LocalStorage

LIMIT_SECONDS, LIMIT_MEGABYTES, LIMIT_READY = 10.0, 15.0, 1.0
NUM_SAMPLES = 500
LAST_STEP = "index of the second run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exponents", nargs="+", type=float, help="tokens, as powers of ten")
    parser.add_argument("--directory", type=Path, required=True)
    options = parser.parse_args()
    for exponent in options.exponents:
        num_shards = round(10**exponent / SHARD_TOKENS)
        workspace = options.directory.absolute() / f"tokens-{exponent:g}"
        print(f"\n10^{exponent:g} tokens, {num_shards} shards, {NUM_SAMPLES} samples", flush=True)
        for name, step in STEPS.items():
            step(workspace, num_shards)
            if name == LAST_STEP:
                break
        _measure(LocalStorage(workspace))
        shutil.rmtree(workspace)


def _measure(storage: LocalStorage) -> None:
    """Print what the report of the first choice costs, alone and beside the second."""
    first, second = SELECTIONS
    for against in (None, second):
        page = Path(f"{storage}") / "page.html"
        began = time.process_time()
        write_report(storage, first, None, against, NUM_SAMPLES, page)
        print(f"beside {against or 'nothing'}")
        _print("processor seconds", time.process_time() - began, LIMIT_SECONDS)
        _print("megabytes", page.stat().st_size / 1e6, LIMIT_MEGABYTES)
        _print("and until ready", _seconds_until_ready(page), LIMIT_READY)


def _seconds_until_ready(page: Path) -> float:
    scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with scratch as profile, browser(Path(profile)) as tab:
        tab.open(page.as_uri())
        tab.wait_for(f"{NUM_SAMPLES} of {NUM_SAMPLES} samples shown")
        return float(tab.processor_seconds())


def _print(what: str, found: float, limit: float) -> None:
    print(f"  {what:<22}{found:8.2f}   {found / limit:.2f} of the limit of {limit:g}", flush=True)


if __name__ == "__main__":
    main()
