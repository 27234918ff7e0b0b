"""What a summary says of tokens that were kept, unlearned and dropped, and why."""

import pytest

from tasks.summary import MAX_REASONS, Summary

STATS = {
    "read_rows": 3,
    "samples": 2,
    "quarantined_rows": 1,
    "skipped_rows": 0,
    "response_tokens": 20_007,
    "candidate_tokens": None,
    "kept_tokens": 5,
    "unlearned_tokens": 0,
    "dropped_tokens": 20_000,
    "unscorable_tokens": 2,
    "kept_share": 5 / 20_007,
    "train_samples": 2,
    "empty_samples": 0,
    "influence_tokens": 0,
}


def facts(reasons=(), **changes) -> dict[str, str]:
    told = [{"reason": reason, "tokens": tokens} for reason, tokens in reasons]
    return Summary("clean-1", STATS | changes, [], told, {}).facts()


def test_a_summary_of_a_method_without_reasons_has_no_word_of_them():
    assert facts() == {
        "rows": "3 read = 2 samples + 1 quarantined + 0 skipped",
        "tokens": "20,007 of responses = 5 kept (0.0 %) + 20,000 dropped + 2 unscorable",
        "samples": "2 to train on; 0 kept no token",
    }


def test_unlearned_tokens_are_told_where_there_are_any():
    assert facts(unlearned_tokens=1, dropped_tokens=19_999)["tokens"] == (
        "20,007 of responses = 5 kept (0.0 %) + 1 unlearned + 19,999 dropped + 2 unscorable"
    )


def test_reasons_are_told_with_their_tokens():
    reasons = [("novelty", 12_345), ("noise, novelty", 17), ("\x1b[31m'", 1)]

    assert facts(reasons)["reasons"] == (
        'not kept because: novelty 12,345; noise, novelty 17; "\\x1b[31m\'" 1'
    )


@pytest.mark.parametrize(("num_more", "ending"), [(0, "r5 1"), (3, "r5 1; and 3 more")])
def test_only_the_most_frequent_reasons_are_told(num_more, ending):
    reasons = [(f"r{n}", 1) for n in range(MAX_REASONS + num_more)]

    assert facts(reasons)["reasons"].endswith(ending)


def test_the_lines_of_the_terminal_and_the_table_of_the_ui_tell_the_reasons():
    summary = Summary("clean-1", STATS, [], [{"reason": "novelty", "tokens": 7}], {})

    assert "\n  reasons    not kept because: novelty 7\n" in str(summary)
    assert "\n| reasons | not kept because: novelty 7 |" in summary.markdown()


def test_what_policies_changed_is_told_where_any_is_set():
    told = "against the method eos kept 1,512: kept are 62.0 %, not 60.0 %"
    summary = Summary("clean-1", STATS, [], [], {}, policies=told)

    assert f"\n  policies   {told}\n" in str(summary)
    assert f"\n| policies | {told} |" in summary.markdown()
    assert "policies" not in facts()
