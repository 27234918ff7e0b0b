"""Whom a drop that is unlike those before it is told to: the terminal, the UI, and automations."""

import json
import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.worker import EventsWorker

from sql.index import update_index
from tasks.drift import DRIFTED, MAX_ALARMS, check_drift
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_selection
from tokensieve.errors import InputError
from tokensieve.settings import DriftSettings
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server")
LIMITS = DriftSettings(min_history=1, min_tokens=1)
HOSTILE = "\x1b[31m" + "source of a very long name " * 4


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def clean(storage, name, kept, sources=(HOSTILE, "wiki")) -> None:
    """Finish a run that keeps the last `kept` of the two response tokens of each sample."""
    samples = [Sample(f"{name}-{n}", source, (1, 2, 0)) for n, source in enumerate(sources)]
    corpus = make_corpus(storage, [samples])
    weights = [weight for _ in samples for weight in [0.0] * (2 - kept) + [1.0] * kept]
    finish_run(storage, name, [(corpus, {}, make_selection(corpus, [weights]))])


def checked(storage, name, earlier):
    """Check a drop in a flow of its own, and wait until its events are sent."""

    @flow
    def check():
        return check_drift(storage, name, earlier, LIMITS)

    alarms = check()
    EventsWorker.drain_all()
    return alarms


def events_of(name, tries=100) -> list:
    """Return the events of the run, as soon as the server has stored one."""
    wanted = EventFilter(event=EventNameFilter(name=[DRIFTED]))
    for _ in range(tries):
        with get_client(sync_client=True) as client:
            events = client.read_events(wanted, limit=50).events
        found = [each for each in events if each.resource.id == f"tokensieve.run.{name}"]
        if found:
            return found
        time.sleep(0.1)
    return []


def tables_of(name) -> list:
    """Return the tables of alarms that were shown for the run."""
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["drift"]))
        found = client.read_artifacts(artifact_filter=key)
    return [json.loads(artifact.data) for artifact in found if artifact.description == name]


def test_alarms_are_told_in_the_terminal_in_a_table_and_as_one_event(storage, capfd):
    for name, kept in (("before", 2), ("same", 2), ("other", 1)):
        clean(storage, name, kept)
    update_index(storage)

    assert checked(storage, "same", ["before"]) == ()
    assert (capfd.readouterr().err.count("drift:"), tables_of("same")) == (0, [])
    alarms = checked(storage, "other", ["before", "same"])

    expected = {"kind": "kept_share", "found": 0.5, "usual": 1.0, "limit": 0.1}
    shown = repr(HOSTILE)[:57] + "..."
    rows = [expected | {"source": source} for source in (None, shown, "'wiki'")]
    [event] = events_of("other")
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("drift:")]
    assert [(alarm.kind, alarm.source) for alarm in alarms] == [
        ("kept_share", None),
        ("kept_share", HOSTILE),
        ("kept_share", "wiki"),
    ]
    assert event.payload == {"run": "other", "num_alarms": 3, "alarms": rows}
    assert tables_of("other") == [rows]
    assert lines == [f"drift: {alarm.text}" for alarm in alarms]
    assert events_of("same", tries=1) == []


def test_of_many_alarms_the_first_are_told_and_all_are_counted(storage, capfd):
    sources = [f"source-{n:02d}" for n in range(MAX_ALARMS + 3)]
    for name, kept in (("much", 2), ("little", 1)):
        clean(storage, name, kept, sources)
    update_index(storage)

    assert len(checked(storage, "little", ["much"])) == MAX_ALARMS + 4

    [event] = events_of("little")
    lines = capfd.readouterr().err.splitlines()
    assert (event.payload["num_alarms"], len(event.payload["alarms"])) == (54, 50)
    assert "drift: and 4 more" in lines
    assert len([line for line in lines if line.startswith("drift: source")]) == MAX_ALARMS - 1


def test_earlier_drops_that_the_index_lacks_are_told_and_the_drop_itself_has_to_be_there(
    storage, capfd
):
    clean(storage, "only", 1)
    update_index(storage)

    assert checked(storage, "only", ["gone", "only"]) == ()
    assert "drift: 1 of 2 earlier drops are not in the index" in capfd.readouterr().err
    with pytest.raises(InputError, match="index: does not hold run 'gone'"):
        checked(storage, "gone", ["only"])
