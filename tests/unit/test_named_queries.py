"""The questions that have a name: what they answer, and how they are asked."""

import re
import shutil

import duckdb
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from sql.index import update_index
from sql.named_answers import run_named
from sql.named_queries import LAST, Parameter, find_query, named_queries, parsed_query
from tasks.asking import asked_query, describe_queries, query_of_file
from tests.reading import rows
from tests.tiny_questions import make_workspace
from tokensieve.errors import DamagedError, InputError, SettingsError
from tokensieve.run_order import last_worked_on
from tokensieve.storage import LocalStorage

NAMES = [each.name for each in named_queries()]


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("workspace"))
    make_workspace(storage)
    update_index(storage)
    return storage


def ask(storage, name, **given):
    """Return the rows of a named query as tuples, and what its parameters were."""
    answered = run_named(storage, find_query(name), given, max_rows=100, max_seconds=30)
    columns = [column.to_pylist() for column in answered.result.table.columns]
    return list(zip(*columns, strict=True)), answered.values


def answer(storage, name, **given):
    return ask(storage, name, **given)[0]


def shown(storage, name, *columns, **given):
    """Return some columns of an answer."""
    answered = run_named(storage, find_query(name), given, max_rows=100, max_seconds=30)
    found = [answered.result.table[column].to_pylist() for column in columns]
    return list(zip(*found, strict=True))


def test_worst_sources_are_those_that_lost_the_largest_share(storage):
    columns = ("source", "response_tokens", "kept_tokens", "mean_influence")

    assert shown(storage, "worst_sources", *columns) == [("web", 3, 1, 3.75), ("wiki", 5, 3, 1.5)]
    assert shown(storage, "worst_sources", "source", most="1") == [("web",)]


def test_worst_samples_have_a_response_of_some_length(storage):
    columns = ("sample_id", "response_tokens", "kept_tokens")

    assert shown(storage, "worst_samples", *columns, at_least="2") == [
        ("s1", 2, 0),
        ("s2", 2, 1),
        ("s0", 3, 2),
    ]
    assert shown(storage, "worst_samples", *columns, at_least="3") == [("s0", 3, 2)]


def test_samples_fully_masked_have_no_kept_token(storage):
    columns = ("sample_id", "source", "response_tokens", "tokens")

    assert shown(storage, "samples_fully_masked", *columns) == [("s1", "web", 2, 3)]
    assert shown(storage, "samples_fully_masked", *columns, run="second") == [("s3", "web", 1, 2)]


def test_tokens_by_lost_share_stand_often_enough(storage):
    columns = ("token_id", "response_tokens", "lost_tokens", "lost_share")

    assert shown(storage, "tokens_by_lost_share", *columns, at_least="2") == [
        (2, 2, 2, 1.0),
        (1, 2, 1, 0.5),
    ]
    assert len(answer(storage, "tokens_by_lost_share", at_least="1")) == 6


def test_flips_between_rounds_count_what_changed_sides(storage):
    assert answer(storage, "flips_between_rounds", run="online-1") == [
        (1, "all together", 5, 0, 1, 0.2, 0.5),
        (1, "one", 3, 0, 1, pytest.approx(1 / 3), 0.5),
        (1, "two", 2, 0, 0, 0.0, None),
    ]
    assert answer(storage, "flips_between_rounds", run="first") == []


def test_drift_compares_a_drop_with_the_one_before_it(storage):
    columns = ("run", "quarantined_share", "kept_share", "kept_change", "influence_change")

    assert shown(storage, "drift_by_drop", *columns) == [  # the second was begun first
        ("second", pytest.approx(2 / 7), 0.625, None, None),
        ("first", pytest.approx(2 / 7), 0.5, -0.125, 0.0),
    ]
    assert shown(storage, "drift_by_drop", "run", most="1") == [("first",)]
    given = shown(storage, "drift_by_drop", "run", "kept_change", runs="first,second")
    assert given == [("first", None), ("second", 0.125)]


def test_costs_stand_by_round_and_step(storage):
    columns = ("round", "step", "seconds", "tokens", "tokens_per_second")
    found = shown(storage, "cost_by_step", *columns, run="evolve-1")

    assert (0, "model", 3.0, 11, pytest.approx(11 / 3)) in found
    assert (1, "scores.reference", 0.5, 5, 10.0) in found
    assert (0, "corpus", None, None, None) in found


def test_agreement_is_that_of_each_pair_of_selections_over_a_corpus(storage):
    found = answer(storage, "agreement_between_methods")
    corpus = rows(storage, "SELECT DISTINCT corpus FROM rounds WHERE run = 'online-1'")[0][0]

    assert found == [("first", 0, "second", 0, 8, 2, 7, pytest.approx(2 / 7))]
    assert answer(storage, "agreement_between_methods", corpus=corpus) == [
        ("online-1", 0, "online-1", 1, 5, 1, 2, 0.5)  # what the trainings decided
    ]


def test_the_most_surprising_kept_tokens_stand_in_their_text(storage):
    columns = ("nll", "influence", "context", "sample_id", "position")

    assert shown(storage, "most_surprising_kept_tokens", *columns, most="3") == [
        (8.0, 7.75, "<s>»é«", "s3", 1),
        (6.0, 5.0, "<s>»=1+1«<s>", "s2", 1),
        (3.0, 2.0, "<s>a\x00»'; DROP TABLE rounds; --«", "s0", 3),
    ]
    narrow = shown(storage, "most_surprising_kept_tokens", "context", most="3", around="1")
    assert narrow[2] == ("\x00»'; DROP TABLE rounds; --«",)


def test_kept_by_turn_goes_through_the_conversation(storage):
    columns = ("turn", "response_tokens", "kept_tokens")

    assert shown(storage, "kept_by_turn", *columns) == [(0, 7, 3), (1, 1, 1)]


def test_quarantine_reasons_and_duplicates_are_shares_of_the_rows(storage):
    corpus = rows(storage, "SELECT corpus FROM rounds WHERE run = 'first'")[0][0]

    assert answer(storage, "quarantine_reasons") == [
        ("drop", "quarantined", "no_answer", 2, 7, pytest.approx(2 / 7), 1)
    ]
    assert answer(storage, "duplicates") == [("drop", corpus, 7, 1, pytest.approx(1 / 7))]


def test_special_tokens_are_counted_by_source(storage):
    assert answer(storage, "eos_trained") == [("wiki", 0, "<s>", 1, 0, 0.0)]
    assert answer(storage, "eos_trained", run="second") == [("wiki", 0, "<s>", 1, 1, 1.0)]


def test_influence_by_position_counts_from_the_first_token_of_the_response(storage):
    columns = ("from_position", "response_tokens", "kept_tokens", "mean_influence")

    assert shown(storage, "influence_by_position", *columns) == [
        (0, 4, 3, 3.1875),
        (1, 3, 0, pytest.approx(4 / 3)),
        (2, 1, 1, 2.0),
    ]
    by_training = ("from_position", "response_tokens", "kept_tokens")
    assert shown(storage, "influence_by_position", *by_training, run="online-1") == [
        (0, 2, 1),
        (1, 2, 0),
        (2, 1, 1),
    ]


def test_the_distribution_of_influences_is_in_bins_of_a_width(storage):
    assert answer(storage, "influence_distribution", width="4") == [
        (-4.0, 1, 0, 0.0),
        (0.0, 4, 2, 0.5),
        (4.0, 3, 2, pytest.approx(2 / 3)),
    ]


def test_a_training_curve_is_that_of_the_last_run_that_trains(storage):
    curve, values = ask(storage, "training_curve", run="evolve-1", round="0", most="2")

    assert values == {"run": "evolve-1", "round": 0, "most": 2}
    assert curve == [
        (1, 2, 2.0, 0.5, 3, 6, None, 4.0),
        (3, 3, 1.5, 0.25, 2, 5, 4.0, 20.0),
    ]
    assert ask(storage, "training_curve")[1]["run"] == "online-1"


def test_arms_are_those_of_the_last_comparison(storage):
    found, values = ask(storage, "arms")

    assert values == {"run": "compare-1"}
    assert found == [("rho", 1, 1.5, None, 0.5, 0.75, 5.0, 15.0)]


def test_reasons_are_shares_of_the_response_tokens(storage):
    assert answer(storage, "drop_reasons", run="second") == [
        ("noise", 2, 0.25, "web"),
        ("echo", 1, 0.125, "web"),
    ]


def test_policies_are_counted_for_and_against(storage):
    assert answer(storage, "policies", run="second") == [
        ("ends", 2, 2, 0, 0.25, 0.0, "web"),
        ("spans", 2, 1, 1, 0.125, 0.125, "web"),
    ]
    assert answer(storage, "policies") == []


def test_signals_are_compared_over_the_kept_and_the_dropped(storage):
    found = {name: numbers for name, *numbers in answer(storage, "signals")}

    assert found["reference_nll"] == [8, 2.15625, 0.6875, 3.625, -2.9375]


def test_the_files_of_the_dataset_are_those_of_the_training_view(storage):
    found = shown(storage, "dataset_files", "file", "samples")

    assert [samples for _, samples in found] == [1, 2]
    assert all(pq.read_table(storage.path(file)).num_rows == num for file, num in found)


@pytest.mark.parametrize("name", NAMES)
def test_every_named_query_says_what_it_answers_and_names_its_parameters(storage, name):
    query = find_query(name)
    [statement] = duckdb.extract_statements(query.statement)

    assert query.sentence.endswith(".")
    assert {each.name for each in query.parameters} == set(statement.named_parameters)
    assert all(each.default is not None for each in query.parameters)
    assert run_named(storage, query, {}, max_rows=100, max_seconds=30).result.columns


def test_of_the_artifacts_only_those_of_the_round_or_corpus_are_read(storage, tmp_path):
    copy = LocalStorage(shutil.copytree(storage.root, tmp_path / "copy"))
    update_index(copy)  # it was moved

    assert spoil_others(copy, "first", "second") > 10
    assert answer(copy, "agreement_between_methods") == answer(storage, "agreement_between_methods")
    assert spoil_others(copy, "first") > 10
    for name in ("influence_by_position", "most_surprising_kept_tokens"):
        assert answer(copy, name) == answer(storage, name)
        with pytest.raises(DamagedError):
            answer(copy, name, run="second")


def test_run_and_round_are_the_last_ones_that_were_worked_on(storage):
    assert ask(storage, "kept_by_turn")[1] == {"run": "first", "round": 0}
    assert ask(storage, "kept_by_turn", run="evolve-1")[1] == {"run": "evolve-1", "round": 1}
    assert ask(storage, "kept_by_turn", run="last", round="last")[1]["run"] == "first"
    assert last_worked_on(storage, ["second", "evolve-1", "online-1"]) == "second"
    assert last_worked_on(storage, ["evolve-1", "online-1"]) == "online-1"  # nothing tells


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("kept_by_turn", {"rnd": "1"}, "'rnd' is not one of its parameters: run, round"),
        ("kept_by_turn", {"run": "frist"}, "no run 'frist' .* Did you mean first?"),
        ("kept_by_turn", {"run": "x'; DROP TABLE runs; --"}, "no run .*DROP TABLE"),
        ("kept_by_turn", {"run": "compare-1"}, "no run 'compare-1' that could answer this"),
        ("kept_by_turn", {"round": "1"}, "run first has no round 1; its last is 0"),
        ("kept_by_turn", {"round": "-1"}, "has no round -1"),
        ("kept_by_turn", {"round": "one"}, "round: 'one' is not a whole number"),
        ("worst_sources", {"most": "2.5"}, r"most: '2\.5' is not a whole number"),
        ("worst_sources", {"most": "-1"}, "cannot be negative"),
        ("influence_distribution", {"width": "wide"}, "width: 'wide' is not a number"),
        ("agreement_between_methods", {"corpus": "abc"}, "no shared corpus 'abc'"),
        ("arms", {"run": "first"}, "no run 'first' that could answer this"),
        ("drift_by_drop", {"runs": "first,secnd"}, "no run 'secnd' .* Did you mean second?"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(storage, name, given, message):
    with pytest.raises(SettingsError, match=message):
        answer(storage, name, **given)


def test_values_are_bound_and_never_become_part_of_the_statement(storage):
    sample = "' OR true OR '"
    own = parsed_query("own", "-- In: $of.\nSELECT $of AS value, count(*) FROM rounds")

    found = run_named(storage, own, {"of": sample}, max_rows=9, max_seconds=30).result

    assert found.table.to_pylist()[0]["value"] == sample


def test_an_index_without_what_is_asked_about_says_what_to_do(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.probe()
    update_index(storage)

    for name, message in (("worst_sources", "Finish a run"), ("arms", "an arm of a comparison")):
        with pytest.raises(InputError, match=message):
            answer(storage, name)


def test_a_header_may_run_over_lines_and_defaults_are_of_their_kind():
    query = parsed_query(
        "own",
        "-- How many,\n-- e.g. 1.5 of them.\n-- In: $run = last, $text = a b, $share = 0.5,\n"
        "-- $most = 20, $needed. And so on. $not, $these.\nSELECT 1 -- In: $no.\n",
    )

    assert query.sentence == "How many, e.g. 1.5 of them."
    assert query.parameters == (
        Parameter("run", LAST),
        Parameter("text", "a b"),
        Parameter("share", 0.5),
        Parameter("most", 20),
        Parameter("needed", None),
    )
    assert parsed_query("own", "SELECT 1").sentence == ""


@pytest.mark.parametrize("declared", ["$a = , $b", "$a b", "$a, b", "$a$b"])
def test_a_header_that_cannot_be_understood_is_refused(declared):
    with pytest.raises(SettingsError, match="is no parameter"):
        parsed_query("own", f"-- What.\n-- In: {declared}.\nSELECT 1")


def test_the_last_round_is_that_of_whatever_run_is_asked_about(storage):
    text = "-- In: $run = evolve-1, $round = last, $least = 0.\nSELECT $run, $round, $least"
    given = {"run": "online-1", "least": "7"}

    own = parsed_query("own", text)

    assert run_named(storage, own, {}, max_rows=9, max_seconds=30).values["round"] == 1
    assert run_named(storage, own, given, max_rows=9, max_seconds=30).values == {
        "run": "online-1",
        "round": 1,
        "least": 7,
    }
    of_none = parsed_query("own", "-- In: $round = last.\nSELECT $round")
    with pytest.raises(SettingsError, match=r"round: is one of a run\. Declare `\$run = last`"):
        run_named(storage, of_none, {}, max_rows=9, max_seconds=30)


def test_what_has_no_default_has_to_be_given(storage):
    own = parsed_query("own", "-- In: $needed.\nSELECT $needed AS a")

    with pytest.raises(SettingsError, match="own: needed: is missing"):
        run_named(storage, own, {}, max_rows=9, max_seconds=30)


def test_one_word_is_a_name_and_everything_else_is_sql():
    assert asked_query(" worst_sources\n", {}).name == "worst_sources"
    assert asked_query("DESCRIBE", {}).statement == "DESCRIBE"
    assert asked_query("FROM rounds", {}).parameters == ()
    assert asked_query("SELECT $a", {"a": "1"}).parameters == (Parameter("a", None),)
    with pytest.raises(SettingsError, match=r"'worst_source' .* Did you mean worst_sources, "):
        asked_query("worst_source", {})
    with pytest.raises(SettingsError, match="neither SQL nor the name of a query"):
        asked_query("rounds", {})


def test_the_list_names_every_query_with_its_parameters_and_sentence():
    listed = describe_queries()

    for query in named_queries():
        assert re.search(rf"^{query.name}\(", listed, re.MULTILINE)
        assert f"    {query.sentence}\n" in listed
    assert "worst_samples(run, round, at_least = 20, most = 20)\n" in listed
    assert "training_curve(run = last trained, round, most = 20)\n" in listed


def test_a_query_of_ones_own_lies_in_a_file(tmp_path):
    path = tmp_path / "own.sql"
    path.write_text("-- Mine.\n-- In: $most = 3.\nSELECT $most")
    broken = tmp_path / "broken.sql"
    broken.write_bytes(b"SELECT '\xff'")

    assert query_of_file(path, {}).parameters == (Parameter("most", 3),)
    with pytest.raises(InputError, match=r"broken\.sql: is not UTF-8"):
        query_of_file(broken, {})
    with pytest.raises(InputError, match=r"nothing\.sql: cannot be read: No such file"):
        query_of_file(tmp_path / "nothing.sql", {})


def test_the_command_line_asks_by_name_and_says_what_it_asked(storage, capsys):
    run_command("worst_sources", "--set", "most=1", "--format", "csv", storage=storage)
    printed = capsys.readouterr()

    assert printed.err == "worst_sources: run = first, round = 0, most = 1\n"
    assert printed.out.splitlines()[1].startswith("web,3,1,0.333")


def test_the_command_line_without_a_question_lists_them(storage, capsys):
    for arguments in ([], ["--list"]):
        run_command(*arguments, storage=storage)

        assert capsys.readouterr().out == f"{describe_queries()}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nothing"], 2),
        (["--list", "arms"], 2),
        (["arms", "--file", "x"], 2),
        (["worst_sources", "--set", "most"], 2),
        (["SELECT $a"], 2),
        (["SELECT 1", "--set", "a=1"], 2),
        (["--file", "/nowhere"], 3),
    ],
)
def test_a_question_that_cannot_be_asked_has_an_exit_code(storage, capsys, arguments, code):
    run_command(*arguments, storage=storage, code=code)


def spoil_others(storage, *runs):
    """Destroy what is in the shards that rounds of other runs read; return their number."""
    used = rows(
        storage,
        "SELECT DISTINCT unnest([corpus, selection, scores]) FROM rounds JOIN round_scores"
        f" USING (run, round) WHERE list_contains({list(runs)}, run)",
    )
    shards = storage.root.glob("*/*/shards/*")
    spoilt = [path for path in shards if (path.parts[-3],) not in used]
    for path in spoilt:
        whole = path.read_bytes()
        footer = int.from_bytes(whole[-8:-4], "little") + 8
        path.write_bytes(b"PAR1" + bytes(len(whole) - footer - 4) + whole[-footer:])
    return len(spoilt)


def run_command(*arguments, storage, code=0):
    with pytest.raises(SystemExit) as ended:
        main(["sql", *arguments, "--workspace", str(storage.root)])
    assert (ended.value.code or 0) == code
