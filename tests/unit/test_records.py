"""What a row says, for every shape of row."""

import pickle
from typing import Any

import pytest

from tokensieve.ingest.records import Message, Record, RowProblem, num_ignored_fields, to_record

TURN = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def problem_of(row: dict[str, Any]) -> tuple[str, str, str]:
    with pytest.raises(RowProblem) as found:
        to_record(row)
    return found.value.reason, found.value.field, found.value.detail


def test_messages_keep_their_roles_and_their_order():
    row = {"messages": [{"role": "system", "content": "s"}, *TURN], "id": "x", "source": "web"}
    messages = (Message("system", "s"), Message("user", "q"), Message("assistant", "a"))
    assert to_record(row) == Record("x", "web", messages)


def test_sharegpt_roles_become_ours():
    said = [("system", "s"), ("human", "q"), ("gpt", "a"), ("user", "r"), ("assistant", "b")]
    record = to_record({"conversations": [{"from": f, "value": v} for f, v in said]})
    roles = [message.role for message in record.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_prompt_and_completion_are_a_question_and_its_answer():
    record = to_record({"prompt": "q", "completion": "a"})
    assert record.messages == (Message("user", "q"), Message("assistant", "a"))


@pytest.mark.parametrize(
    ("context", "kept"), [({"input": "i"}, "i"), ({}, ""), ({"input": None}, "")]
)
def test_alpaca_keeps_its_input_as_context(context: dict[str, Any], kept: str):
    record = to_record({"instruction": "q", "output": "a"} | context)
    assert record.messages == (Message("user", "q", kept), Message("assistant", "a"))


def test_tokens_with_labels_are_taken_as_they_are():
    record = to_record({"input_ids": [5, 6, 7], "labels": [-100, 6, 7]})
    assert record == Record(None, None, (), ([5, 6, 7], [-100, 6, 7]))


@pytest.mark.parametrize(
    ("input_ids", "labels", "reason", "field"),
    [
        ([5, 6], [5], "length_mismatch", "labels"),
        ([5, 6], [-100, 7], "label_mismatch", "labels[1]"),
        ([5, -1], [5, -1], "token_out_of_vocabulary", "input_ids[1]"),
        ([5, 2**31], [5, -100], "token_out_of_vocabulary", "input_ids[1]"),
        ([5, True], [5, 1], "wrong_type", "input_ids[1]"),
        ([5, 6], [5, 6.0], "wrong_type", "labels[1]"),
        ("5 6", [5, 6], "wrong_type", "input_ids"),
    ],
)
def test_labels_that_cannot_be_right_are_refused(
    input_ids: Any, labels: Any, reason: str, field: str
):
    assert problem_of({"input_ids": input_ids, "labels": labels})[:2] == (reason, field)


def test_j25_a_missing_field_is_named():
    assert problem_of({"completion": "a"})[:2] == ("missing_field", "prompt")
    assert problem_of({"prompt": None, "completion": "a"})[:2] == ("missing_field", "prompt")
    assert problem_of({"instruction": "q"})[:2] == ("missing_field", "output")
    assert problem_of({"input_ids": [1]})[:2] == ("missing_field", "labels")


def test_a_row_of_no_known_shape_lists_what_was_wanted_and_found():
    reason, _, detail = problem_of({"text": "hello", "score": 1})
    assert reason == "missing_field"
    assert "prompt + completion" in detail
    assert detail.endswith("found 'score', 'text'")


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ("hello", "messages"),
        ([*TURN, "hello"], "messages[2]"),
        ([*TURN, {"role": "user", "content": None}], "messages[2].content"),
        ([*TURN, {"role": "user", "content": ["a"]}], "messages[2].content"),
        ([*TURN, {"role": "user", "content": 3}], "messages[2].content"),
        ([{"role": None, "content": "a"}], "messages[0].role"),
    ],
)
def test_j26_a_wrong_type_names_its_field(messages: Any, field: str):
    assert problem_of({"messages": messages})[:2] == ("wrong_type", field)


def test_a_message_without_content_names_its_field():
    assert problem_of({"messages": [{"role": "user"}]})[:2] == (
        "missing_field",
        "messages[0].content",
    )


@pytest.mark.parametrize("role", ["Assistant", "tool", "function", "", "human"])
def test_j27_an_unknown_role_is_not_guessed(role: str):
    row = {"messages": [{"role": role, "content": "a"}]}
    assert problem_of(row)[:2] == ("unknown_role", "messages[0].role")


@pytest.mark.parametrize(
    ("row", "id"),
    [
        ({"id": "a"}, "a"),
        ({"sample_id": "b"}, "b"),
        ({"id": 7}, "7"),
        ({"id": -(2**63)}, "-9223372036854775808"),
        ({"id": None, "sample_id": "b"}, "b"),
        ({"id": ""}, None),
        ({}, None),
        ({"id": "../../etc/x"}, "../../etc/x"),
        ({"id": "'); DROP TABLE x; --"}, "'); DROP TABLE x; --"),
        ({"id": "x" * 10_000}, "x" * 10_000),
    ],
)
def test_j35_an_id_is_data(row: dict[str, Any], id: str | None):
    assert to_record(row | {"messages": TURN}).id == id


@pytest.mark.parametrize(
    ("id", "reason"),
    [
        (2**63, "id_not_int64"),
        (-(2**63) - 1, "id_not_int64"),
        (1.5, "wrong_type"),
        (True, "wrong_type"),
        (["a"], "wrong_type"),
        ("a\0b", "nul_in_id"),
    ],
)
def test_j14_j20_an_id_that_cannot_be_kept_is_refused(id: Any, reason: str):
    assert problem_of({"messages": TURN, "id": id})[:2] == (reason, "id")


def test_the_source_may_be_called_dataset():
    assert to_record({"messages": TURN, "dataset": "flan"}).source == "flan"
    assert problem_of({"messages": TURN, "source": 3})[:2] == ("wrong_type", "source")


def test_j38_of_several_shapes_in_one_row_the_most_specific_is_read():
    row = {"prompt": "other", "messages": TURN, "labels": "spam"}
    assert to_record(row).messages == (Message("user", "q"), Message("assistant", "a"))


def test_j40_j41_unknown_fields_are_ignored_and_counted():
    row = {"messages": TURN, "id": "x", "a.b": 1, "\"'": 2, "\U0001f600": 3, "prompt": "q"}
    assert to_record(row).id == "x"
    assert num_ignored_fields(row) == 4


def test_a_value_in_a_detail_is_short_and_cannot_move_a_cursor():
    detail = problem_of({"messages": [{"role": "\x1b[2J" + "x" * 500, "content": "a"}]})[2]
    assert "\x1b" not in detail
    assert len(detail) < 120


def test_a_problem_survives_pickling():
    problem = RowProblem("no_target", "why", "messages", "skipped")
    copy = pickle.loads(pickle.dumps(problem))
    assert (copy.reason, copy.detail, copy.field, copy.outcome) == (
        "no_target",
        "why",
        "messages",
        "skipped",
    )
