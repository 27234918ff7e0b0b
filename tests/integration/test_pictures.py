"""Pictures in the Prefect UI and beside what they show."""

from base64 import b64decode, b64encode

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.context import get_run_context

from tasks.pictures import MAX_BYTES, show_picture
from tokensieve.charts import StepPoint, loss_curve
from tokensieve.errors import ResourceError
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server")


def shown_in_a_flow(name, pngs, path):
    """Show one picture after the other under one name; return the id of the flow run."""

    @task
    def show(number):
        show_picture(name, "Training loss", pngs[number], LocalStorage(path.parent), path.name)

    @flow
    def showing():
        for number in range(len(pngs)):
            show(number)
        return get_run_context().flow_run.id

    return showing()


def artifacts_named(name):
    """Return the artifacts of that name, the earliest first."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[name]))
        )
    return sorted(found, key=lambda artifact: artifact.created)


def test_a_picture_is_a_file_and_an_artifact_of_its_flow_run(tmp_path):
    png = loss_curve([StepPoint(step, 2.0 / step, 1e-4, 100) for step in range(1, 50)])
    path = tmp_path / "runs/first/loss.png"

    flow_run = shown_in_a_flow("loss-file", [png], path)

    [artifact] = artifacts_named("loss-file")
    picture, place = artifact.data.split("\n\n")
    shown = picture.removeprefix("![Training loss](data:image/png;base64,").removesuffix(")")
    assert path.read_bytes() == png
    assert b64decode(shown) == png
    assert place == f"`{path}`"
    assert (artifact.type, artifact.description) == ("markdown", "Training loss")
    assert artifact.flow_run_id == flow_run
    assert artifact.task_run_id is not None


def test_a_later_picture_takes_the_place_of_the_file_and_is_added_in_the_ui(tmp_path):
    shown_in_a_flow("loss-again", [b"old", b"new"], tmp_path / "loss.png")

    first, second = (artifact.data for artifact in artifacts_named("loss-again"))
    assert (tmp_path / "loss.png").read_bytes() == b"new"
    assert b64encode(b"old").decode() in first
    assert b64encode(b"new").decode() in second


def test_a_picture_too_large_for_the_server_is_kept_and_named(tmp_path):
    png = bytes(MAX_BYTES + 1)

    shown_in_a_flow("loss-large", [png], tmp_path / "loss.png")

    [artifact] = artifacts_named("loss-large")
    assert artifact.data == (f"Too large to show here: 100,001 bytes.\n\n`{tmp_path / 'loss.png'}`")
    assert (tmp_path / "loss.png").read_bytes() == png


def test_a_picture_that_cannot_be_written_is_not_shown(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ResourceError, match="could not be written"):
        show_picture(
            "loss-nowhere", "Training loss", b"png", LocalStorage(tmp_path / "file"), "loss.png"
        )

    assert artifacts_named("loss-nowhere") == []
