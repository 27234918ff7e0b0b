"""Tasks of lm-evaluation-harness, the one place that knows it. It is an extra, imported on demand.

Prompts are the tasks' own, without a chat template, as in the results of Token Cleaning
(arXiv 2502.01968). A task file can name Python code, which lm-eval runs.
"""

import copy
import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tokensieve.documents import canonical_json
from tokensieve.errors import InputError, SettingsError, shortened
from tokensieve.evaluation.answers import ending_tokens
from tokensieve.evaluation.generation import greedy
from tokensieve.settings import EvaluationSettings
from tokensieve.storage import sha256_hex

_BATCH_SIZE = {"cpu": 8, "cuda": "auto"}  # auto: the largest that fits, found by trial
_BOOTSTRAPS = 1000  # draws for the standard errors that have no formula
_SEED = 1234  # lm-eval's own, of the examples in a prompt
_OF_A_BAD_TASK = (AttributeError, ImportError, LookupError, OSError, TypeError, ValueError)
"""What lm-eval and datasets raise, unchecked, where a task file or its data is not as expected."""


@dataclass(frozen=True)
class TaskResult:
    """One figure of one task."""

    task: str
    """Name of the task, or of a group over its tasks."""
    metric: str
    """lm-eval's name, such as `acc`; after a comma the filter of the answers, if it has one."""
    value: float
    """In the metric's own unit."""
    stderr: float | None
    """Standard error over the documents, where lm-eval can give one."""
    higher_is_better: bool | None
    """None where the task does not say."""


TASK_SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("stderr", pa.float64()),
        pa.field("higher_is_better", pa.bool_()),
    ]
)


def check_tasks(settings: EvaluationSettings) -> None:
    """Return if every task and its data can be loaded. For planning, before a model is.

    Raises SettingsError if lm-eval is not installed or does not know a task, InputError if a
    task's file or data cannot be used. Data on the hub is downloaded now.
    """
    if settings.tasks:
        _load_tasks(settings)


def tasks_identity(settings: EvaluationSettings) -> dict[str, str]:
    """Return what decides the tasks' figures beside their names; empty without tasks.

    `lm_eval`: its version. `task_files`: the SHA-256 of every file in task_path with its name below
    it, so that a changed task is another task and a moved one is not. Raises what check_tasks does.
    """
    if not settings.tasks:
        return {}
    _check_given(settings)
    hashes = _file_hashes(Path(settings.task_path)) if settings.task_path else {}
    return {"lm_eval": version("lm_eval"), "task_files": sha256_hex(canonical_json(hashes))}


def lm_eval_results(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, settings: EvaluationSettings
) -> list[TaskResult]:
    """Return every figure of the tasks, and of their groups; nothing without tasks.

    A task's prompt, its examples and their seed are lm-eval's own. Raises what check_tasks does.
    """
    if not settings.tasks:
        return []
    tasks = _load_tasks(settings)
    from lm_eval import evaluate
    from lm_eval.models.huggingface import HFLM

    own_tokenizer = copy.deepcopy(tokenizer)  # lm-eval gives it a padding token
    batch_size = _BATCH_SIZE[model.device.type]
    harness = HFLM(pretrained=model, tokenizer=own_tokenizer, batch_size=batch_size)
    os.environ["DISABLE_MULTIPROC"] = "1"  # a process that holds a model is not to be forked
    with greedy(model, ending_tokens(model, tokenizer)):
        report = evaluate(
            harness,
            tasks,
            limit=settings.task_limit,
            bootstrap_iters=_BOOTSTRAPS,
            log_samples=False,
        )
    return list(_results(report))


def _load_tasks(settings: EvaluationSettings) -> Any:
    """Return the tasks with their data, as lm-eval's `evaluate` takes them."""
    manager = _manager(settings)
    path = settings.task_path
    elsewhere: AbstractContextManager[None] = chdir(path) if path else nullcontext()
    try:
        with elsewhere:
            loaded = manager.load(list(settings.tasks))
    except _OF_A_BAD_TASK as error:
        raise InputError(
            f"evaluation.tasks: {', '.join(settings.tasks)}: cannot be loaded: "
            f"{type(error).__name__}: {shortened(str(error), 300)}. Mend the task file; relative "
            "data files are looked for in evaluation.task_path."
        ) from error
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=_SEED)
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
    return loaded


def _file_hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `root` by its name there."""
    files = [file for file in sorted(root.rglob("*")) if file.is_file()]
    names = [file.relative_to(root).as_posix() for file in files]
    return {
        name: sha256_hex(file.read_bytes())
        for name, file in zip(names, files, strict=True)
        if "__pycache__" not in name.split("/")  # written when a task's code is run
    }


def _check_given(settings: EvaluationSettings) -> None:
    """Refuse tasks if there is no lm-eval to do them, or nothing where they should lie."""
    if find_spec("lm_eval") is None:
        raise SettingsError(
            "evaluation.tasks: lm-eval is not installed. Run `pip install -e '.[eval]'` in the "
            "clone of tokensieve, or ask for no tasks."
        )
    if settings.task_path is not None and not Path(settings.task_path).is_dir():
        raise SettingsError(f"evaluation.task_path: {settings.task_path} is not a directory.")


def _manager(settings: EvaluationSettings) -> Any:
    """Return lm-eval's directory of tasks; raise SettingsError if it lacks one of ours."""
    _check_given(settings)
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=settings.task_path, include_defaults=False)
    if not set(settings.tasks) <= set(manager.all_subtasks):  # the defaults take seconds to list
        manager = TaskManager(include_path=settings.task_path)
    for name in settings.tasks:
        if name not in manager.all_tasks:
            near = get_close_matches(name, manager.all_tasks)
            advice = f"Did you mean {', '.join(near)}?" if near else "`lm-eval ls tasks` lists all."
            raise SettingsError(f"evaluation.tasks: lm-eval knows no {shortened(name)}. {advice}")
    return manager


def _results(report: dict[str, Any]) -> Iterator[TaskResult]:
    """Yield the figures among what lm-eval reports of each task, which also has text."""
    for task, figures in report["results"].items():
        directions = report["higher_is_better"].get(task, {})
        for key, value in figures.items():
            name, _, answers = key.partition(",")  # its figures are named METRIC,FILTER
            if answers and isinstance(value, Real) and not name.endswith("_stderr"):
                if not math.isfinite(value):
                    raise InputError(
                        f"lm-eval task {task}: its {key} is {value}. Look at the task's data and "
                        "metric, or leave the task out."
                    )
                error = figures.get(f"{name}_stderr,{answers}")
                known = isinstance(error, Real) and math.isfinite(error)
                yield TaskResult(
                    task,
                    name if answers == "none" else key,
                    float(value),
                    float(error) if known else None,
                    directions.get(name),
                )
