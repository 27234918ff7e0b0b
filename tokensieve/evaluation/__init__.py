"""What a trained model is worth, on data that it was not trained on.

held_out.py        the loss on response tokens
answers.py         exact match of generated answers, from patterns.py and generation.py
lm_eval_tasks.py   tasks of lm-evaluation-harness, if it is installed
"""

from tokensieve.evaluation.answers import ANSWER_SCHEMA, answer_samples, exact_match
from tokensieve.evaluation.held_out import HeldOutLoss, MeanLoss, held_out_loss
from tokensieve.evaluation.lm_eval_tasks import (
    TASK_SCHEMA,
    TaskResult,
    check_tasks,
    lm_eval_results,
    tasks_identity,
)
from tokensieve.evaluation.patterns import check_pattern

__all__ = [
    "ANSWER_SCHEMA",
    "TASK_SCHEMA",
    "HeldOutLoss",
    "MeanLoss",
    "TaskResult",
    "answer_samples",
    "check_pattern",
    "check_tasks",
    "exact_match",
    "held_out_loss",
    "lm_eval_results",
    "tasks_identity",
]
