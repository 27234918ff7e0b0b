"""The clean_drops flow end to end, with tiny models: what is new is cleaned, and nothing else."""

import json
import shutil
import time

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventResourceFilter

from flows.clean_drops import clean_drops
from tasks.approval import approve_drop, describe_drops
from tests.drops import write_drop
from tests.workspaces import ids, published
from tokensieve.artifact import load_artifact
from tokensieve.drops import looks, read_log
from tokensieve.errors import QuarantineError, ServiceError, SettingsError
from tokensieve.runs import load_run
from tokensieve.settings import CleanDropsSettings
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")


class Place:
    """A location of drops, a workspace, and how the one is cleaned into the other."""

    def __init__(self, directory, models, **settings):
        self.location, self.workspace = directory / "location", directory / "workspace"
        self.location.mkdir(exist_ok=True)
        self.storage = LocalStorage(self.workspace)
        # Neither is trained; this way round no drop has an alarm.
        self.given = {"base": models.reference, "reference": models.base, "quiet_minutes": 0}
        self.given |= {"corpus": {"template": "tulu"}, **settings}

    def put(self, drop, num_rows, seed=0, file="part.jsonl", **rows):
        (self.location / drop).mkdir(exist_ok=True)
        return write_drop(self.location / drop / file, num_rows=num_rows, seed=seed, **rows)

    def clean(self, **settings):
        places = {"location": str(self.location), "workspace": str(self.workspace)}
        return clean_drops(CleanDropsSettings(**places, **self.given | settings))

    def states(self, **settings):
        return {line.drop: line.state for line in self.clean(**settings).lines}

    @property
    def visits(self):
        return read_log(self.storage).visits

    def scored(self, visit):
        """Return the ids of the samples that the base was run over."""
        round = load_run(self.storage, visit.run).planned_rounds(self.storage)[0]
        scores = load_artifact(self.storage, "scores", round.scores["base"])
        tables = [scores.read_table(each, "shards") for each in scores.committed().receipts]
        return [id for table in tables for id in table["sample_id"].to_pylist()]

    def artifacts(self):
        return {kind: ids(self.workspace, kind) for kind in ("corpora", "scores", "selections")}

    def published(self):
        """Return what stands there for good, and what is noted, without the times of files."""
        noted = {name: (look.state, [*look.files]) for name, look in looks(self.storage).items()}
        files = {key: sha for key, sha in published(self.workspace).items() if "LOOKS" not in key}
        return files, noted


@pytest.fixture
def place(models, tmp_path):
    return Place(tmp_path, models)


@pytest.fixture(scope="module")
def cleaned(models, tmp_path_factory, prefect_server, ray_cluster):
    """Return a place with two drops of 40 and 30 rows, cleaned once. Nobody changes it."""
    place = Place(tmp_path_factory.mktemp("cleaned"), models)
    place.put("w46", 40)
    place.put("w47", 30, seed=1)
    place.summary = place.clean()
    return place


@pytest.fixture
def copied(cleaned, models, tmp_path):
    """Return a copy of that place, to be changed."""
    place = Place(tmp_path, models)
    for name in ("location", "workspace"):
        shutil.copytree(getattr(cleaned, name), getattr(place, name), dirs_exist_ok=True)
    return place


def events_of(drop, num_events=1, tries=300):
    """Return names and payloads of the events of a drop, once the server has stored so many."""
    wanted = EventFilter(resource=EventResourceFilter(id=[f"tokensieve.drop.{drop}"]))
    for _ in range(tries):
        with get_client(sync_client=True) as client:
            events = client.read_events(wanted, limit=50).events
        if len(events) >= num_events:
            return [(event.event, event.payload) for event in reversed(events)]
        time.sleep(0.1)
    return []


def test_every_drop_is_cleaned_and_remembered(cleaned):
    assert [(line.drop, line.state) for line in cleaned.summary.lines] == [
        ("w46", "cleaned"),
        ("w47", "cleaned"),
    ]
    first, second = cleaned.visits
    assert (first.drop, second.drop, first.way) == ("w46", "w47", second.way)
    assert first.counts["rows"] == first.counts["samples"] == 40
    assert first.counts["kept_tokens"] == int(0.6 * first.counts["response_tokens"])
    assert (first.alarms, first.held) == ([], False)
    assert len(cleaned.scored(first)) == 40
    assert describe_drops(cleaned.storage) == "drops: 2 cleaned"


def test_the_event_of_a_cleaned_drop_says_what_a_training_needs(cleaned):
    visit = cleaned.visits[1]

    assert events_of("w47")[0] == (
        "tokensieve.drop.cleaned",
        {
            "drop": "w47",
            "run": visit.run,
            "selection": visit.selection,
            "workspace": str(cleaned.workspace),
            "num_alarms": 0,
        },
    )


def test_the_summary_is_a_table_for_people(cleaned, capsys):
    text = "\n".join(line for line, _ in cleaned.summary.text())

    assert f"drops in {cleaned.location}" in text
    assert "w46                  cleaned   1 new, 0 known" in text
    assert cleaned.visits[0].run in text
    assert "0 unchanged" in text


def test_what_has_not_changed_is_not_even_planned(copied, monkeypatch):
    copied.clean()  # the copy has other times
    before = published(copied.workspace)
    monkeypatch.setattr("tasks.planning.plan_visit", None)

    again = copied.clean()

    assert (again.lines, again.num_unchanged) == ((), 2)
    assert published(copied.workspace) == before


def test_of_a_file_that_grew_only_the_new_rows_are_scored(copied):
    copied.put("w46", 55)  # the first 40 rows are those of before

    assert copied.states() == {"w46": "cleaned", "w47": "known"}

    visit = copied.visits[2]
    assert visit.counts == visit.counts | {"rows": 55, "samples": 15, "skipped": 40, "seen": 40}
    assert copied.scored(visit) == [f"row-{n}" for n in range(40, 55)]
    assert len(copied.artifacts()["scores"]) == 6


def test_a_new_file_of_an_old_drop_is_cleaned_alone(copied):
    copied.put("w46", 10, seed=9, file="more.jsonl")

    copied.clean()

    visit = copied.visits[2]
    assert [(file.name, file.is_new) for file in visit.files] == [
        ("more.jsonl", True),
        ("part.jsonl", False),
    ]
    assert (visit.counts["rows"], len(copied.scored(visit))) == (10, 10)


def test_a_file_that_another_drop_had_makes_nothing(copied):
    (copied.location / "w48").mkdir()
    shutil.copy(copied.location / "w46" / "part.jsonl", copied.location / "w48" / "again.jsonl")
    before = copied.artifacts()

    assert copied.states()["w48"] == "known"

    assert (copied.artifacts(), len(copied.visits)) == (before, 2)


def test_a_file_that_only_says_again_what_others_said_is_not_scored(copied):
    lines = (copied.location / "w46" / "part.jsonl").read_text().splitlines(keepends=True)
    (copied.location / "echo").mkdir()
    (copied.location / "echo" / "part.jsonl").write_text("".join(reversed(lines[:7])))
    before = copied.artifacts()

    assert copied.states()["echo"] == "cleaned"

    after, visit = copied.artifacts(), copied.visits[2]
    assert (len(after["corpora"]), after["scores"]) == (3, before["scores"])
    assert (visit.selection, visit.counts["samples"], visit.counts["seen"]) == (None, 0, 7)
    assert load_run(copied.storage, visit.run).is_finished(copied.storage)
    assert [name for name, _ in events_of("echo", tries=1)] == []


def test_a_drop_that_fails_does_not_stop_the_others_and_goes_on_when_it_is_mended(place, capsys):
    place.put("a-bad", 20, bad_rows=5)
    place.put("b-good", 20, seed=1)
    place.put("c-empty", 0)

    with pytest.raises(QuarantineError, match=r"5 of 20 rows"):
        place.clean()

    assert [visit.drop for visit in place.visits] == ["b-good"]
    assert "c-empty/part.jsonl: the drop has no rows" in capsys.readouterr().out
    told = describe_drops(place.storage)
    assert "drops: 2 failed, 1 cleaned" in told
    assert "a-bad: failed: 5 of 20 rows" in told

    place.put("a-bad", 21)
    place.put("c-empty", 3, seed=2)
    assert place.states() == {"a-bad": "cleaned", "c-empty": "cleaned"}


def test_a_drop_that_is_not_complete_waits_and_costs_nothing(place):
    place.put("w46", 20)

    assert place.states(quiet_minutes=5) == {"w46": "waiting"}
    assert "w46: waiting: something changed" in describe_drops(place.storage)
    assert place.artifacts() == {"corpora": set(), "scores": set(), "selections": set()}

    (place.location / "w46" / "_SUCCESS").touch()
    assert place.states(quiet_minutes=5) == {"w46": "cleaned"}


def test_an_alarm_holds_a_drop_until_it_is_approved(place):
    strict = {"hold": True, "min_history": 1, "quarantined": 0}
    given = {"drift": strict, "corpus": {"template": "tulu", "max_quarantine": 0.1}}
    place.put("ordinary", 20)
    place.put("a-first", 20, seed=1, bad_rows=1)

    assert place.states(**given) == {"a-first": "cleaned", "ordinary": "cleaned"}
    place.put("odd", 20, seed=2, bad_rows=2)
    assert place.states(**given) == {"odd": "held"}

    visit = place.visits[2]
    assert visit.held
    assert visit.alarms[0].startswith("the drop: 10.0 % of the rows are quarantined, 2.5 % before")
    assert [name for name, _ in events_of("odd")] == ["tokensieve.drop.held"]
    assert "tokensieve approve odd" in describe_drops(place.storage)
    assert place.clean(**given).num_unchanged == 3

    assert approve_drop(place.storage, "odd").splitlines() == [
        f"odd: released: run {visit.run}",
        *(f"  {alarm}" for alarm in visit.alarms),
    ]

    told = [name for name, _ in events_of("odd", num_events=2)]
    assert told == ["tokensieve.drop.held", "tokensieve.drop.cleaned"]
    assert describe_drops(place.storage) == "drops: 3 cleaned"
    with pytest.raises(SettingsError, match="nothing of the drop odd is held"):
        approve_drop(place.storage, "odd")


def test_frozen_thresholds_keep_what_scores_as_well_as_before(copied):
    first = copied.visits[0]
    notes = load_artifact(copied.storage, "selections", first.selection).committed().notes
    threshold = notes["thresholds"][""]["score"]
    copied.put("w48", 50, seed=5)

    copied.clean(thresholds=first.run)

    visit = copied.visits[2]
    round = load_run(copied.storage, visit.run).planned_rounds(copied.storage)[0]
    made = round.artifacts(copied.storage)
    base, reference = (values(made[f"scores.{role}"], "nll") for role in ("base", "reference"))
    kept = (base - reference >= threshold).sum()
    assert visit.counts["kept_tokens"] == kept
    assert (values(made["selection"], "weight") > 0).sum() == kept
    assert visit.counts["kept_tokens"] != int(0.6 * visit.counts["response_tokens"])
    assert visit.way != first.way


def values(artifact, name):
    tables = [artifact.read_table(each, "shards") for each in artifact.committed().receipts]
    lists = [row for table in tables for row in table[name].to_pylist()]
    return np.array([np.nan if x is None else x for row in lists for x in row], dtype=float)


class Killed(BaseException):
    """What stands for the end of the process: no other drop is visited after it."""


@pytest.mark.parametrize(
    "place_of_death",
    [
        "tasks.planning.note_looks",
        "tasks.corpus.find_duplicates",
        "tasks.selection.chosen_method",
        "tasks.record.update_index",
        "tasks.drops.tell_drop",
        "tokensieve.drops.visits.sealed_json",
        "tasks.drops_summary.note_looks",
    ],
)
def test_whatever_step_a_run_dies_at_the_next_one_ends_as_if_nothing_had_been(
    cleaned, models, tmp_path, monkeypatch, place_of_death
):
    place = Place(tmp_path, models)
    shutil.copytree(cleaned.location, place.location, dirs_exist_ok=True)
    died = []

    def die(*arguments, **named):
        died.append(place_of_death)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(place_of_death, die)
        with pytest.raises(Killed):
            place.clean()
    assert died
    place.clean()

    assert place.published() == cleaned.published()


def test_a_run_that_comes_second_finds_the_visits_of_the_first(cleaned, models, tmp_path):
    place = Place(tmp_path, models)
    shutil.copytree(cleaned.location, place.location, dirs_exist_ok=True)
    shutil.copytree(cleaned.workspace, place.workspace)
    shutil.rmtree(place.workspace / "drops")
    log = read_log(place.storage)
    place.clean()
    files, _ = place.published()

    visits = [visit.publish(place.storage, log) for visit in place.visits]

    assert visits == [*place.visits]
    assert place.published()[0] == files
    assert [json.loads(visit.model_dump_json()) for visit in visits] == [
        json.loads(visit.model_dump_json()) for visit in cleaned.visits
    ]


def test_what_is_not_read_of_a_drop_is_told_again_and_again(copied):
    (copied.location / "w46" / "more.json").touch()
    (copied.location / "w47" / "y.jsonl").touch()

    lines = {line.drop: line for line in copied.clean().lines}

    assert {drop: line.state for drop, line in lines.items()} == {"w46": "known", "w47": "known"}
    assert "1 other entries are not read: 'more.json'" in lines["w46"].details[0]
    assert "y.jsonl: the drop has no rows" in lines["w47"].details[0]
    assert all(line.is_bad for line in lines.values())
    assert copied.clean().num_unchanged == 2
    assert "w46: known: " in describe_drops(copied.storage)


def test_what_may_pass_leaves_the_other_drops_to_the_next_run(place, monkeypatch):
    place.put("w46", 20)
    place.put("w47", 20, seed=1)

    def fail(*arguments, **named):
        raise ServiceError("nobody answers")

    with monkeypatch.context() as patched:
        patched.setattr("tasks.drops.tell_drop", fail)
        with pytest.raises(ServiceError):
            place.clean()
    assert place.visits == ()
    assert {name: look.state for name, look in looks(place.storage).items()} == {"w46": "begun"}
    made = place.artifacts()

    place.clean()

    assert [visit.drop for visit in place.visits] == ["w46", "w47"]
    assert made["scores"] < place.artifacts()["scores"]
    assert place.visits[0].selection in made["selections"]


def test_a_location_that_is_not_there_is_told_before_anything_is_begun(place):
    shutil.rmtree(place.location)

    with pytest.raises(SettingsError, match="there is no such directory"):
        place.clean()
    assert not place.workspace.exists()
