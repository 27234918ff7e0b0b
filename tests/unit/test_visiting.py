"""Visits of drops that others write: what is left out, what changes meanwhile, who comes second."""

import os
import shutil
import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.approval import approve_drop, describe_drops
from tasks.drops import Ending, find_changed_drops
from tasks.drops_summary import summarise_drops
from tasks.status import works_elsewhere
from tests.drops import write_drop
from tests.tiny_plans import commit_corpus, make_inputs
from tokensieve.drops import Visit, look_at, looks, note_looks, read_log, release
from tokensieve.errors import InputError, ResourceError, ServiceError, SettingsError
from tokensieve.planning import check_drops_given, plan_visit
from tokensieve.planning import drops as planning
from tokensieve.runs import Attempt
from tokensieve.selection_lookup import find_selection
from tokensieve.settings import CleanDropsSettings
from tokensieve.storage import LocalStorage

COUNTS = {"rows": 1, "samples": 1, "quarantined": 0, "skipped": 0, "seen": 0}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def location(tmp_path):
    (tmp_path / "location" / "a").mkdir(parents=True)
    return tmp_path / "location"


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


@pytest.fixture
def settings(inputs, location, storage):
    return CleanDropsSettings(
        location=str(location),
        base=inputs.base,
        reference=inputs.reference,
        workspace=str(storage.root),
        corpus={"template": "tulu"},
        quiet_minutes=0,
    )


def visit_of(plan, **fields):
    """Return the record of a planned visit as if all of its work was done."""
    given = {
        "run": plan.cleaning.run.name,
        "way": "w",
        "corpus": plan.cleaning.corpus.artifact.id,
        "selection": plan.cleaning.selection.artifact.id,
        "counts": COUNTS,
        "alarms": [],
        "held": False,
    }
    return Visit(drop=plan.drop.name, files=list(plan.files), **given | fields)


def end(plan, skipped=(), **fields):
    """Make the corpus of a planned visit, and record it; return the record."""
    commit_corpus(plan.cleaning.corpus, skipped)
    visit = visit_of(plan, **fields).publish(plan.storage, plan.log)
    note_looks(plan.storage, {plan.drop.name: plan.look("held" if visit.held else "cleaned")})
    return visit


def told(plan):
    return [(file.name, file.is_new) for file in plan.files]


# --- one that cannot be looked at stops no other


@pytest.mark.parametrize("target", ["gone", "/etc/hostname", "x.jsonl"])
def test_a_bad_link_fails_its_own_drop_and_is_named(settings, location, target):
    (location / "a" / "x.jsonl").symlink_to(target)  # dangling, out of the location, into itself
    write_drop(location_of(location, "b") / "x.jsonl", num_rows=5)

    assert find_changed_drops.fn(settings).changed == ["a", "b"]
    with pytest.raises(InputError, match=r"a/x\.jsonl: "):
        plan_visit(settings, "a", on_gpu=False)
    assert told(plan_visit(settings, "b", on_gpu=False)) == [("x.jsonl", True)]


def test_a_dangling_link_that_is_no_data_is_told(settings, location):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    (location / "a" / "x.lock").symlink_to("gone")

    assert "'x.lock'" in plan_visit(settings, "a", on_gpu=False).warnings[0]


def test_a_folder_that_may_not_be_read_fails_its_drop_and_no_other(settings, location, monkeypatch):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    (location / "a" / "closed").mkdir()
    write_drop(location_of(location, "b") / "x.jsonl", num_rows=5)
    listed = os.listdir

    def closed(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr("os.listdir", closed)

    sighting = find_changed_drops.fn(settings)

    assert sighting.changed == ["b"]
    assert "a/closed: cannot be read: Permission denied" in str(sighting.failures["a"])


@pytest.mark.parametrize("name", ["x.part", "inside"])
def test_what_is_gone_before_it_was_looked_at_has_changed_just_now(
    settings, location, monkeypatch, name
):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    (location / "a" / "x.part").touch()
    (location / "a" / "inside").mkdir()
    for path in (*(location / "a").iterdir(), location / "a"):
        os.utime(path, (0, 0))
    listed = os.listdir

    def renaming(folder):
        names = listed(folder)
        if Path(folder).name == "a":
            (folder / name).rename(location.parent / name)
            os.utime(folder, (0, 0))
        return names

    assert find_changed_drops.fn(settings.model_copy(update={"quiet_minutes": 5})).waiting == {}
    monkeypatch.setattr("os.listdir", renaming)
    sighting = find_changed_drops.fn(settings.model_copy(update={"quiet_minutes": 5}))

    assert "something changed in it" in sighting.waiting["a"]


def location_of(location, name):
    (location / name).mkdir()
    return location / name


# --- what everybody hears of


@pytest.fixture
def no_prefect(monkeypatch):
    """Let summaries be shown in the terminal alone, and no server be configured."""
    monkeypatch.setattr("tasks.drops_summary.create_table_artifact", lambda *rows, **named: None)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def summary_of(settings, **endings):
    sighting = find_changed_drops.fn(settings)
    return summarise_drops.fn(settings, sighting, endings)


def test_what_was_left_out_of_a_drop_is_red_and_stays_in_the_status(
    settings, location, storage, no_prefect
):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    (location / "a" / "more.json").touch()
    plan = plan_visit(settings, "a", on_gpu=False)
    end(plan)

    summary = summary_of(settings, a=Ending("cleaned", None, plan.warnings))

    warning = f"{location}/a: 1 other entries are not read: 'more.json'"
    assert (f"      {warning}", True) in list(summary.text())
    assert describe_drops(storage) == f"drops: 1 cleaned\n  a: cleaned: {warning}"
    assert find_changed_drops.fn(settings).num_unchanged == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ServiceError("gone"), "begun"),
        (ResourceError("full"), "begun"),
        (InputError("x"), "failed"),
    ],
)
def test_a_drop_that_was_begun_goes_first_again_if_its_error_may_pass(
    settings, location, storage, no_prefect, error, state
):
    for name in "bc":
        write_drop(location_of(location, name) / "x.jsonl", num_rows=5)
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    note_looks(storage, {"b": plan_visit(settings, "b", on_gpu=False).look("begun")})

    summary = summary_of(settings, b=error)

    assert [(line.drop, line.state) for line in summary.lines] == [
        ("a", "waiting"),
        ("b", "failed"),
        ("c", "waiting"),
    ]
    assert "left to the next run" in summary.lines[0].details[0]
    assert looks(storage)["b"].state == state
    assert f"b: {state}: {error}" in describe_drops(storage)
    assert find_changed_drops.fn(settings).changed[0] == ("b" if state == "begun" else "a")


def test_a_run_on_which_another_process_works_is_seen(settings, location, storage):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    run = plan_visit(settings, "a", on_gpu=False).cleaning.run
    began = psutil.Process().create_time()
    attempt = Attempt(flow_run="1", host=socket.gethostname(), pid=os.getpid(), started=began)
    attempt.publish(storage, run.name)
    assert not works_elsewhere(storage, run)

    parent = psutil.Process(os.getppid())
    ours = {"flow_run": "2", "pid": parent.pid, "started": parent.create_time()}
    attempt.model_copy(update=ours).publish(storage, run.name)

    assert works_elsewhere(storage, run)


# --- what is held is not used


def finish(plan, held):
    """Finish the selection of a planned visit as far as anybody asks, and record the visit."""
    visit = end(plan, held=held, alarms=["odd"] if held else [])
    selection = plan.cleaning.selection.artifact
    selection.declare()
    for shard in range(selection.num_shards):
        selection.publish(shard, {}, {"tokens": 1}, {})
    selection.commit({})
    return visit


def test_what_is_held_is_neither_trained_on_nor_gives_thresholds(settings, location, storage):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    visit = finish(plan_visit(settings, "a", on_gpu=False), held=True)

    with pytest.raises(SettingsError, match=r"of the drop a is held: 'odd'.*approve a"):
        find_selection(storage, visit.selection)
    with pytest.raises(SettingsError, match="is held"):
        check_drops_given(settings.model_copy(update={"thresholds": visit.selection}))

    release(storage, 1, visit)
    assert find_selection(storage, visit.selection).id == visit.selection


def grow(settings, location, held):
    """Let a drop that is held grow, and end its second visit; return both."""
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    first = end(plan_visit(settings, "a", on_gpu=False), held=True, alarms=["odd"])
    write_drop(location / "a" / "x.jsonl", num_rows=8)
    second = plan_visit(settings, "a", on_gpu=False)
    return first, end(second, held=held, alarms=["odder"] if held else [])


def test_what_is_in_a_later_cleaning_that_may_be_used_is_not_released(
    settings, location, storage, no_prefect
):
    first, second = grow(settings, location, held=False)

    with pytest.raises(SettingsError) as refused:
        approve_drop(storage, "a")

    assert f"run {first.run}: 5 of its samples are in run {second.run} too" in str(refused.value)
    assert list(read_log(storage).held) == [1]


def test_of_a_drop_that_grew_while_it_was_held_the_last_cleaning_is_released(
    settings, location, storage, no_prefect
):
    first, second = grow(settings, location, held=True)
    assert [line for line in describe_drops(storage).splitlines() if "odd" in line] == [
        "    odd",
        "    odder",
    ]

    lines = approve_drop(storage, "a").splitlines()

    assert lines[:2] == [f"a: released: run {second.run}", "  odder"]
    assert lines[2].startswith(f"a: not released: run {first.run}: 5 of its samples")
    assert lines[3] == "PREFECT_API_URL names no server, so nobody was told"
    assert list(read_log(storage).held) == [1]


def test_what_was_passed_over_in_favour_of_another_is_not_held_by_both(
    settings, location, storage, no_prefect
):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    end(plan_visit(settings, "a", on_gpu=False))
    write_drop(location / "a" / "x.jsonl", num_rows=8)
    grown = end(plan_visit(settings, "a", on_gpu=False), held=True, alarms=["odd"])

    assert approve_drop(storage, "a").startswith(f"a: released: run {grown.run}\n  odd")


def test_samples_that_neither_of_two_cleanings_took_are_not_held_by_both(
    settings, location, storage, no_prefect
):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    end(plan_visit(settings, "a", on_gpu=False))
    write_drop(location / "a" / "x.jsonl", num_rows=8)
    end(plan_visit(settings, "a", on_gpu=False), range(5), held=True, alarms=["odd"])
    write_drop(location / "a" / "x.jsonl", num_rows=10)
    end(plan_visit(settings, "a", on_gpu=False), range(5))

    with pytest.raises(SettingsError, match=r": 3 of its samples are in run"):
        approve_drop(storage, "a")


@pytest.mark.parametrize("status", [None, 500])
def test_a_drop_is_not_released_if_prefect_does_not_hear_of_it(
    settings, location, storage, no_prefect, status
):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    end(plan_visit(settings, "a", on_gpu=False), held=True, alarms=["odd"])
    with (
        server_that_says(status) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(ServiceError, match="did not take the event tokensieve"),
    ):
        approve_drop(storage, "a")

    assert list(read_log(storage).held) == [1]


@contextmanager
def server_that_says(status):
    """Yield the address of a server that answers everything with a status; None: of nobody."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(status)
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        port = server.server_port
        if status is not None:
            Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{port}/api"
            server.shutdown()
    if status is None:
        yield f"http://127.0.0.1:{port}/api"


# --- what is left out, and what changes meanwhile


def test_a_file_with_a_hidden_name_is_left_out_and_told(settings, location):
    write_drop(location / "a" / "_x.jsonl", num_rows=5)
    write_drop(location / "a" / "y.jsonl", num_rows=5, seed=1)

    plan = plan_visit(settings, "a", on_gpu=False)

    assert told(plan) == [("y.jsonl", True)]
    assert plan.warnings == (f"{location}/a: 1 files are not read, being hidden: '_x.jsonl'",)
    assert plan.look("begun").detail == plan.warnings[0]


def changing(monkeypatch, name, change):
    """Let something change when planning takes this step; it is taken then."""
    step = getattr(planning, name)

    def changed(*arguments):
        change()
        return step(*arguments)

    monkeypatch.setattr(planning, name, changed)


def test_a_file_that_comes_while_a_drop_is_looked_at_is_waited_for(settings, location, monkeypatch):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    late = location / "a" / "y.jsonl"
    changing(monkeypatch, "find_files", lambda: write_drop(late, num_rows=5, seed=1))

    with pytest.raises(InputError, match="a: changed while it was looked at"):
        plan_visit(settings, "a", on_gpu=False)


@pytest.mark.parametrize("content", ["other", "same as y"])
def test_a_file_that_changes_after_it_was_hashed_is_waited_for(
    settings, location, monkeypatch, content
):
    path = write_drop(location / "a" / "x.jsonl", num_rows=5)
    twin = write_drop(location / "a" / "y.jsonl", num_rows=5, seed=1)

    def change():
        if content == "other":
            write_drop(path, num_rows=5, seed=2)
        else:
            shutil.copy(twin, path)

    changing(monkeypatch, "inventory_of", change)

    with pytest.raises(InputError, match="a: changed while it was looked at"):
        plan_visit(settings, "a", on_gpu=False)
    assert told(plan_visit(settings, "a", on_gpu=False))[0] == ("x.jsonl", True)


def test_files_of_the_same_content_are_planned_once(settings, location):
    path = write_drop(location / "a" / "x.jsonl", num_rows=5)
    shutil.copy(path, location / "a" / "y.jsonl")

    plan = plan_visit(settings, "a", on_gpu=False)

    assert told(plan) == [("x.jsonl", True), ("y.jsonl", True)]
    assert [file.name for file in plan.cleaning.inventory.files] == ["x.jsonl"]


def test_a_new_file_of_no_rows_in_a_cleaned_drop_is_known_from_then_on(settings, location):
    write_drop(location / "a" / "x.jsonl", num_rows=5)
    end(plan_visit(settings, "a", on_gpu=False))
    (location / "a" / "y.jsonl").touch()

    plan = plan_visit(settings, "a", on_gpu=False)

    assert plan.cleaning is None
    assert "y.jsonl: the drop has no rows" in plan.warnings[0]
    assert plan.look("known").is_same(look_at(str(location), "a", settings.s3))
