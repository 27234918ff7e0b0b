"""lm-eval tasks from local files, without a network; most of it needs the extra `eval`."""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from tests.tiny_models import build_tiny_model
from tokensieve.errors import InputError, SettingsError
from tokensieve.evaluation import (
    TaskResult,
    check_tasks,
    lm_eval_results,
    lm_eval_tasks,
    tasks_identity,
)
from tokensieve.models import load_model, load_tokenizer
from tokensieve.settings import CompareSettings, EvaluationSettings

torch.set_num_threads(1)  # on tiny matrices threads only wait for each other
needs_lm_eval = pytest.mark.skipif(find_spec("lm_eval") is None, reason="needs the extra `eval`")

QUESTIONS = [
    {"question": "If Anna has 3 apples and buys 7, she has", "choices": [" 10.", " 11."]},
    {"question": "If Anna has 5 apples and buys 3, she has", "choices": [" 9.", " 8.", " 1."]},
    {"question": "If Anna has 9 apples and buys 7, she has", "choices": [" 16.", " 7."]},
]
ANSWERS = [0, 1, 0]
CHOICE = """\
task: local_choice
dataset_path: json
dataset_kwargs: {data_files: {test: questions.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
target_delimiter: ""
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
WRITTEN = """\
task: local_written
dataset_path: json
dataset_kwargs: {data_files: {test: questions.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 4, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
GROUP = """\
group: local_group
task: [local_choice, local_written]
"""


@pytest.fixture
def task_path(tmp_path) -> str:
    for name, text in (("choice", CHOICE), ("written", WRITTEN), ("group", GROUP)):
        (tmp_path / f"{name}.yaml").write_text(text)
    pairs = zip(QUESTIONS, ANSWERS, strict=True)
    rows = [question | {"answer": answer} for question, answer in pairs]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "questions.jsonl").write_text(lines)
    return str(tmp_path)


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("model")))


def results(directory: str, task_path: str, *tasks: str, limit: int | None = None):
    model, tokenizer = load_model(directory, "float32", 0), load_tokenizer(directory)
    settings = EvaluationSettings(tasks=tasks, task_path=task_path, task_limit=limit)
    return lm_eval_results(model, tokenizer, settings)


def choice_nll(directory: str, question: str, choice: str) -> float:
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = load_tokenizer(directory)
    prompt, whole = tokenizer.encode(question), tokenizer.encode(question + choice)
    with torch.inference_mode():
        logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return -sum(float(logits[n - 1, whole[n]]) for n in range(len(prompt), len(whole)))


@needs_lm_eval
def test_a_local_task_is_scored_as_the_model_s_own_losses_say(directory, task_path):
    right = []
    for row, answer in zip(QUESTIONS, ANSWERS, strict=True):
        nll = [choice_nll(directory, row["question"], choice) for choice in row["choices"]]
        right.append(nll[answer] == min(nll))
    assert sum(right) in (1, 2)  # so that it tells right from wrong

    [result] = results(directory, task_path, "local_choice")

    assert (result.task, result.metric, result.higher_is_better) == ("local_choice", "acc", True)
    assert result.value == pytest.approx(sum(right) / 3)
    assert result.stderr is not None


@needs_lm_eval
def test_the_limit_takes_the_first_documents(directory, task_path):
    [result] = results(directory, task_path, "local_choice", limit=1)

    assert result.value in (0.0, 1.0)
    assert result.stderr is None


@needs_lm_eval
def test_a_group_gives_the_figures_of_its_tasks(directory, task_path):
    figures = results(directory, task_path, "local_group")

    assert {(each.task, each.metric) for each in figures} == {
        ("local_choice", "acc"),
        ("local_written", "exact_match"),
    }


@needs_lm_eval
def test_generation_ignores_the_sampling_of_the_model_directory(directory, task_path, tmp_path):
    [greedy] = results(directory, task_path, "local_written")
    model, tokenizer = load_model(directory, "float32", 0), load_tokenizer(directory)
    model.generation_config = GenerationConfig(suppress_tokens=list(range(300)), eos_token_id=1)
    settings = EvaluationSettings(tasks=("local_written",), task_path=task_path)
    texts = []
    generate = model.generate
    model.generate = lambda *args, **kwargs: texts.append(generate(*args, **kwargs)) or texts[-1]

    assert lm_eval_results(model, tokenizer, settings) == [greedy]
    assert any((text[:, -4:] < 300).any() for text in texts)


@needs_lm_eval
def test_the_tokenizer_and_the_working_directory_stay_as_they_were(directory, task_path):
    model, tokenizer = load_model(directory, "float32", 0), load_tokenizer(directory)
    tokenizer.pad_token = None
    here = Path.cwd()

    lm_eval_results(
        model, tokenizer, EvaluationSettings(tasks=("local_choice",), task_path=task_path)
    )

    assert tokenizer.pad_token is None
    assert Path.cwd() == here


@needs_lm_eval
def test_an_unknown_task_is_refused_with_names_that_are_near(task_path):
    with pytest.raises(SettingsError, match=r"knows no 'local_choise'\. Did you mean local_choice"):
        check_tasks(EvaluationSettings(tasks=("local_choise",), task_path=task_path))


@needs_lm_eval
def test_planning_finds_a_task_whose_data_is_missing(task_path):
    (Path(task_path) / "questions.jsonl").unlink()

    with pytest.raises(InputError, match=r"local_choice: cannot be loaded: FileNotFoundError"):
        check_tasks(EvaluationSettings(tasks=("local_choice",), task_path=task_path))


@needs_lm_eval
def test_a_task_path_that_is_no_directory_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"evaluation\.task_path: .*nowhere is not a directory"):
        check_tasks(EvaluationSettings(tasks=("x",), task_path=str(tmp_path / "nowhere")))


@needs_lm_eval
def test_a_changed_task_is_another_task_and_a_moved_one_is_not(task_path, tmp_path_factory):
    def identity(path: Path) -> dict[str, str]:
        return tasks_identity(EvaluationSettings(tasks=("local_choice",), task_path=str(path)))

    moved = tmp_path_factory.mktemp("elsewhere") / "tasks"
    shutil.copytree(task_path, moved)
    (moved / "__pycache__").mkdir()
    (moved / "__pycache__/code.pyc").write_bytes(b"made by running a task")
    assert identity(moved) == identity(Path(task_path))

    (moved / "questions.jsonl").write_text("{}")
    assert identity(moved) != identity(Path(task_path))


def test_without_tasks_there_is_nothing_to_identify():
    assert tasks_identity(EvaluationSettings()) == {}


def test_without_lm_eval_tasks_are_refused_and_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setattr(lm_eval_tasks, "find_spec", lambda name: None)

    with pytest.raises(SettingsError, match=r"pip install -e '\.\[eval\]'"):
        check_tasks(EvaluationSettings(tasks=("arc_easy",)))


def test_without_tasks_lm_eval_is_not_needed(directory, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)

    check_tasks(EvaluationSettings())
    assert results(directory, None) == []


def test_figures_are_taken_from_what_lm_eval_reports_and_text_is_not():
    report = {
        "results": {
            "sums": {
                "name": "sums",
                "alias": " - sums",
                "sample_len": 9,
                "acc,none": 0.5,
                "acc_stderr,none": 0.1,
                "exact_match,strict": 0.25,
                "exact_match_stderr,strict": "N/A",
            },
            "group": {"alias": "group", " ,none": " "},
        },
        "higher_is_better": {"sums": {"acc": True, "exact_match": None}},
    }

    assert list(lm_eval_tasks._results(report)) == [
        TaskResult("sums", "acc", 0.5, 0.1, True),
        TaskResult("sums", "exact_match,strict", 0.25, None, None),
    ]


def test_a_task_path_is_relative_to_the_settings_file(tmp_path):
    (tmp_path / "compare.toml").write_text(
        'base = "m"\nfiles = ["a"]\nholdout = ["b"]\n[evaluation]\ntask_path = "tasks"\n'
    )

    settings = CompareSettings.load(tmp_path / "compare.toml", {})

    assert settings.evaluation.task_path == str(tmp_path / "tasks")


def test_a_task_path_given_as_a_flag_is_relative_to_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = {
        "base": "m",
        "files": ["a"],
        "holdout": ["b"],
        "evaluation": {"task_path": "tasks"},
    }

    settings = CompareSettings.load(None, flags)

    assert settings.evaluation.task_path == str(tmp_path / "tasks")
