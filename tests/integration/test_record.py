"""Whom a finished round is told to: automations that wait for it."""

import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.worker import EventsWorker

from tasks.record import record_round
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_selection
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server")
SAMPLES = [Sample("secret words", "wiki", (1, 2, 0))]


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def record(storage, run):
    """Record the run's only round in a flow of its own, and wait until its events are sent."""

    @flow
    def recording():
        record_round(storage, run, run.planned_rounds(storage)[0])

    recording()
    EventsWorker.drain_all()


def events_of(run, count, tries=100):
    """Return the events of the run, as soon as the server has stored so many."""
    wanted = EventFilter(event=EventNameFilter(name=["tokensieve.round.finished"]))
    found = []
    for _ in range(tries):
        with get_client(sync_client=True) as client:
            events = client.read_events(wanted, limit=50).events
        found = [each for each in events if each.resource.id == f"tokensieve.run.{run.name}"]
        if len(found) >= count:
            break
        time.sleep(0.1)
    return found


def test_a_finished_round_is_an_event_with_ids_and_no_text_each_time_it_is_recorded(storage):
    corpus = make_corpus(storage, [SAMPLES])
    selection = make_selection(corpus, [[0.0, 1.0]])
    run = finish_run(storage, "told", [(corpus, {}, selection)])

    record(storage, run)
    record(storage, run)

    first, second = events_of(run, count=2)
    assert first.resource["tokensieve.flow"] == run.flow
    assert first.payload == second.payload
    assert first.payload == {
        "run": "told",
        "round": 0,
        "flow": run.flow,
        "workspace": str(storage),
        "artifacts": {"corpus": corpus.id, "selection": selection.id},
    }
