"""The report that a run leaves: beside its documents, named in the Prefect UI, never in its way."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.context import get_run_context

from sql.published import INDEX_KEY
from tasks import run_report
from tasks.run_report import leave_report
from tests.tiny_reports import finish_reported_run
from tokensieve.garbage import forgettable
from tokensieve.runs import load_run
from tokensieve.storage import LocalStorage
from tokensieve.verification import Verification

pytestmark = pytest.mark.usefixtures("prefect_server")
KEY = "runs/tiny-1/report.html"


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    finish_reported_run(storage)
    return storage


def reported(storage):
    """Report the last round at the end of a flow; return how that ended, and what it shows."""
    run = load_run(storage, "tiny-1")

    @flow
    def reporting():
        leave_report(storage, run, run.planned_rounds(storage)[-1])
        return str(get_run_context().flow_run.id)

    state = reporting(return_state=True)
    of_flow = ArtifactFilterFlowRunId(any_=[state.result()])
    named = ArtifactFilter(key=ArtifactFilterKey(any_=["report"]), flow_run_id=of_flow)
    with get_client(sync_client=True) as client:
        return state, [each.data for each in client.read_artifacts(artifact_filter=named)]


def test_a_report_lies_beside_the_run_and_the_ui_names_it_and_the_command(storage):
    state, [shown] = reported(storage)
    assert state.is_completed()
    assert b"<title>tiny-1, round 1" in storage.read(KEY)
    assert f"`{storage.place(KEY)}`" in shown
    assert f"`tokensieve report tiny-1 --workspace {storage}`" in shown


def test_it_goes_with_the_run_and_is_nothing_that_is_verified(storage):
    reported(storage)
    assert KEY in [file.key for file in forgettable(storage, "tiny-1").files]
    storage.replace_bytes(KEY, b"somebody wrote into it")
    assert Verification(storage).damages == []


def test_a_report_that_cannot_be_written_fails_no_run_and_is_told(storage, capsys):
    storage.remove(INDEX_KEY)
    state, shown = reported(storage)
    assert state.is_completed()
    assert shown == []
    told = capsys.readouterr().err
    assert "report: was not written" in told
    assert "there is no index yet" in told
    assert "`tokensieve report tiny-1` writes its report" in told


def test_a_large_round_is_reported_only_when_asked_for(storage, monkeypatch):
    storage.replace_bytes(KEY, b"of an earlier round")
    monkeypatch.setattr(run_report, "MAX_TOKENS", 7)
    state, [shown] = reported(storage)
    assert state.is_completed()
    assert not storage.exists(KEY)
    assert "Written when asked for: the round has more than 7 response tokens." in shown
