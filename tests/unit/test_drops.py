"""Drops: what is one, when it is complete, and what is remembered of it."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tasks.approval import approve_drop, describe_drops, describe_held
from tasks.drops import find_changed_drops
from tests.drops import write_drop
from tests.tiny_plans import commit_corpus, make_inputs
from tokensieve.drops import (
    FileLook,
    Log,
    Look,
    Visit,
    VisitedFile,
    check_location,
    find_drops,
    look_at,
    looks,
    note_looks,
    read_log,
    release,
)
from tokensieve.errors import ConflictError, DamagedError, InputError, ServiceError, SettingsError
from tokensieve.planning import check_drops_given, plan_visit, way_of
from tokensieve.settings import CleanDropsSettings, S3Settings
from tokensieve.storage import LocalStorage
from tokensieve.verification import Verification

HERE = S3Settings()
LONG_AGO = 1_000_000_000
QUIET = 600.0


@pytest.fixture
def location(tmp_path):
    directory = tmp_path / "location"
    directory.mkdir()
    return directory


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


def put(path, text="{}\n", changed=None):
    """Write a file of a drop; `changed`: when everything in the drop was written last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if changed is not None:
        for each in (path, path.parent):
            os.utime(each, (changed, changed))
    return path


def why_waiting(location, name="a", now=None):
    drop = look_at(str(location), name, HERE)
    return drop.why_waiting(time.time() if now is None else now, QUIET)


# --- what is a drop


def test_a_folder_is_a_drop_and_whatever_else_lies_there_is_told(location):
    put(location / "2026-w47" / "part.jsonl")
    put(location / "loose.jsonl")
    put(location / "_temporary" / "x.jsonl")
    put(location / ".hidden" / "x.jsonl")
    for name in ("Upper", "with space", "-rf", "a\nb", "dot.", "n" * 65, "x;drop", "cafe\u0301"):
        put(location / name / "x.jsonl")
    (location / "link").symlink_to(location / "2026-w47")

    found = find_drops(str(location), HERE)

    assert [drop.name for drop in found.drops] == ["2026-w47"]
    told = "\n".join(found.warnings)
    assert len(found.warnings) == 10
    assert "'loose.jsonl': lies beside the drops" in told
    assert "'link': is a link" in told
    assert r"'a\nb': cannot be the name of a drop" in told
    assert told.isprintable() or "\n" in told


@pytest.mark.parametrize("name", ["a", "0", "2026-11-20", "a.b_c-d", "n" * 64])
def test_names_that_a_drop_may_have(location, name):
    put(location / name / "x.jsonl")

    assert [drop.name for drop in find_drops(str(location), HERE).drops] == [name]


def test_hidden_files_are_no_data_and_folders_are_gone_through(location):
    put(location / "a" / "x.jsonl")
    put(location / "a" / "train" / "data.arrow")
    put(location / "a" / "_SUCCESS")
    put(location / "a" / ".x.jsonl.part")
    put(location / "a" / "_logs" / "x.jsonl")

    drop = look_at(str(location), "a", HERE)

    assert list(drop.data) == ["train/data.arrow", "x.jsonl"]
    assert len(drop.entries) == 5


@pytest.mark.parametrize(("drops", "made"), [("d/in/it", "d"), ("d", "d/in/it"), ("d", "d")])
def test_a_location_in_the_workspace_or_around_it_is_refused(tmp_path, drops, made):
    (tmp_path / "d/in/it").mkdir(parents=True)

    with pytest.raises(SettingsError, match="lie in each other"):
        check_location(str(tmp_path / drops), str(tmp_path / made))


def test_a_location_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no such directory"):
        check_location(str(tmp_path / "none"), str(tmp_path / "w"))


def test_on_s3_the_first_parts_of_names_are_drops(s3):
    for key in ("w47/x.jsonl", "w47/_SUCCESS", "w46/train/y.jsonl", "w46/", "Upper/x.jsonl"):
        s3.put(f"in/{key}", b"" if key.endswith("/") else b"{}\n")
    s3.put("in/loose.jsonl", b"{}\n")
    s3.put("in/_temporary/x.jsonl", b"{}\n")
    s3.put("other/w48/x.jsonl", b"{}\n")

    found = find_drops(s3.address("in"), s3.settings)

    assert [(drop.name, list(drop.data)) for drop in found.drops] == [
        ("w46", ["train/y.jsonl"]),
        ("w47", ["x.jsonl"]),
    ]
    assert [warning.partition(": ")[2][:24] for warning in found.warnings] == [
        "'Upper': cannot be the n",
        "'loose.jsonl': lies besi",
    ]
    assert [drop.why_waiting(found.now, QUIET) != "" for drop in found.drops] == [True, False]
    assert found.drops[0].why_waiting(found.now + QUIET + 1, QUIET) == ""
    assert look_at(s3.address("in"), "w47", s3.settings) == found.drops[1]
    assert abs(found.now - time.time()) < 60


def test_a_file_on_s3_that_was_replaced_has_another_version(s3):
    s3.put("in/w47/x.jsonl", b"{}\n")
    before = look_at(s3.address("in"), "w47", s3.settings)
    s3.put("in/w47/x.jsonl", b"[]\n")

    after = look_at(s3.address("in"), "w47", s3.settings)

    assert after.data["x.jsonl"].version != before.data["x.jsonl"].version


def test_a_location_on_s3_and_a_workspace_in_each_other_are_refused():
    with pytest.raises(SettingsError, match="lie in each other"):
        check_location("s3://bucket/here/drops", "s3://bucket/here")
    check_location("s3://bucket/here/drops", "s3://bucket/here/drops-cleaned")
    check_location("s3://bucket/drops", "/workspace")


# --- when it is complete


def test_a_drop_is_complete_when_nothing_in_it_has_changed_for_so_long(location):
    put(location / "a" / "x.jsonl", changed=LONG_AGO)

    assert why_waiting(location, now=LONG_AGO + QUIET) == ""
    assert "in the last 10 minutes" in why_waiting(location, now=LONG_AGO + QUIET - 1)


def test_a_drop_whose_files_are_old_but_just_arrived_is_not_quiet(location):
    put(location / "a" / "x.jsonl", changed=LONG_AGO)
    put(location / "a" / "y.jsonl")
    os.utime(location / "a" / "y.jsonl", (LONG_AGO, LONG_AGO))

    assert why_waiting(location)


def test_a_file_that_is_still_being_written_under_a_hidden_name_keeps_a_drop_waiting(location):
    put(location / "a" / ".x.jsonl.part")
    put(location / "a" / "x.jsonl", changed=LONG_AGO)

    assert why_waiting(location)


def test_success_completes_a_drop_at_once_and_what_is_written_after_it_does_not(location):
    put(location / "a" / "x.jsonl")
    put(location / "a" / "_SUCCESS")
    assert why_waiting(location) == ""
    later = time.time() + 5
    put(location / "a" / "y.jsonl", changed=later)

    assert "no _SUCCESS was written since" in why_waiting(location)
    os.utime(location / "a" / "_SUCCESS", (later, later))
    assert why_waiting(location) == ""


def test_a_drop_without_files_waits_even_with_success(location):
    put(location / "a" / "_SUCCESS", changed=LONG_AGO)

    assert why_waiting(location) == "holds no files yet"


def test_a_clock_that_jumps_back_lets_drops_wait(location):
    put(location / "a" / "x.jsonl", changed=time.time())

    assert why_waiting(location, now=time.time() - 86_400)


# --- the log


def visit_of(drop, *hashes, known=(), **fields):
    files = [
        VisitedFile(name=f"{sha256}.jsonl", num_bytes=1, sha256=sha256, is_new=sha256 not in known)
        for sha256 in (*hashes, *known)
    ]
    given = {
        "run": f"{drop}-0123abcd",
        "way": "w",
        "corpus": f"c{drop}",
        "selection": f"s{drop}",
        "counts": {"rows": 1, "samples": 1, "quarantined": 0, "skipped": 0, "seen": 0},
        "alarms": [],
        "held": False,
    }
    return Visit(drop=drop, files=files, **given | fields)


def test_a_visit_is_the_same_bytes_for_the_same_work(storage):
    visit_of("a", "01", known=("02",)).publish(storage, Log(()))

    content = json.loads(storage.read("drops/visits/00001.json"))["content"]
    assert content == {
        "alarms": [],
        "corpus": "ca",
        "counts": {"quarantined": 0, "rows": 1, "samples": 1, "seen": 0, "skipped": 0},
        "drop": "a",
        "files": [
            {"is_new": True, "name": "01.jsonl", "num_bytes": 1, "sha256": "01"},
            {"is_new": False, "name": "02.jsonl", "num_bytes": 1, "sha256": "02"},
        ],
        "held": False,
        "run": "a-0123abcd",
        "selection": "sa",
        "way": "w",
    }


def test_of_two_runs_that_cleaned_the_same_files_the_first_one_stands(storage):
    first = visit_of("a", "01", "02", run="first")
    log = read_log(storage)
    first.publish(storage, log)

    assert visit_of("a", "01", "02", run="second").publish(storage, log) == first
    assert visit_of("b", "02", run="third").publish(storage, log) == first
    assert read_log(storage).visits == (first,)


def test_a_run_that_cleaned_other_files_meanwhile_takes_the_next_number(storage):
    log = read_log(storage)
    visits = [visit_of("a", "01"), visit_of("b", "02"), visit_of("c", "03")]
    for visit in visits:
        assert visit.publish(storage, log) == visit

    assert read_log(storage).visits == tuple(visits)


def test_a_visit_that_shares_some_files_with_one_that_came_meanwhile_is_refused(storage):
    log, told = read_log(storage), []
    first = visit_of("a", "01", "02").publish(storage, log)

    with pytest.raises(
        ConflictError, match=r"00001\.json: another run cleaned some of the new files"
    ):
        visit_of("b", "02", "03").publish(storage, log, lambda: told.append("b"))

    assert (read_log(storage).visits, told) == ((first,), [])


def test_it_is_told_before_a_visit_stands_and_a_failure_to_tell_leaves_it_out(storage):
    def fail():
        raise ServiceError("nobody hears it")

    with pytest.raises(ServiceError):
        visit_of("a", "01").publish(storage, read_log(storage), fail)

    assert read_log(storage).visits == ()


def test_a_long_log_is_read_in_order_and_knows_files_corpora_and_runs(storage):
    for n in range(70):
        log = Log((visit_of("x"),) * n)  # only its length counts
        visit_of(f"d{n}", f"{n}", way=f"way {n % 2}").publish(storage, log)
    nothing = {"rows": 3, "samples": 0, "quarantined": 0, "skipped": 3, "seen": 3}
    visit_of("e", "70", selection=None, counts=nothing).publish(storage, log)

    log = read_log(storage)

    assert [visit.drop for visit in log.visits] == [*(f"d{n}" for n in range(70)), "e"]
    assert log.known == {f"{n}" for n in range(71)}
    assert log.corpora == [f"cd{n}" for n in range(70)]
    assert log.runs("way 1") == [f"d{n}-0123abcd" for n in range(1, 70, 2)]


def test_an_edited_visit_is_refused(storage):
    visit_of("a", "01").publish(storage, Log(()))
    path = storage.path("drops/visits/00001.json")
    path.write_bytes(path.read_bytes().replace(b'"01"', b'"02"'))

    with pytest.raises(DamagedError, match=r"00001\.json"):
        read_log(storage)


def test_a_gap_in_the_log_is_refused_and_found_by_verification(storage):
    for n in range(3):
        visit_of(f"d{n}", f"{n}").publish(storage, read_log(storage))
    storage.path("drops/visits/00002.json").unlink()

    with pytest.raises(DamagedError, match=r"00002\.json: is missing, but a later visit is there"):
        read_log(storage)
    assert "00002.json: is missing" in Verification(storage).damages[0]


def test_what_is_held_counts_for_nothing_but_its_files_until_it_is_released(storage):
    for drop, held in (("a", True), ("b", False), ("c", True)):
        visit_of(drop, drop, held=held).publish(storage, read_log(storage))
    log = read_log(storage)
    assert list(log.held) == [1, 3]
    assert (log.known, log.corpora, log.runs("w")) == ({"a", "b", "c"}, ["cb"], ["b-0123abcd"])

    release(storage, 1, log.visits[0])
    release(storage, 1, log.visits[0])  # twice is once

    log = read_log(storage)
    assert list(log.held) == [3]
    assert (log.corpora, log.runs("w")) == (["ca", "cb"], ["a-0123abcd", "b-0123abcd"])


# --- approval and status


def test_a_drop_is_approved_once_by_its_name(storage, monkeypatch):
    monkeypatch.setattr("tasks.prefect_state.is_configured", lambda: False)
    visit_of("w46", "1").publish(storage, read_log(storage))
    visit_of("w47", "2", held=True, alarms=["odd"]).publish(storage, read_log(storage))
    note_looks(storage, {"w47": Look(state="held"), "w48": Look(state="failed", detail="why")})
    assert describe_held(storage).splitlines() == [
        "w47: held: run w47-0123abcd; `tokensieve approve w47` releases it",
        "  odd",
    ]
    assert describe_drops(storage).splitlines() == [
        "drops: 1 cleaned, 1 held, 1 failed",
        "  w47: held: run w47-0123abcd; `tokensieve approve w47` releases it",
        "    odd",
        "  w48: failed: why",
    ]

    assert approve_drop(storage, "w47").splitlines() == [
        "w47: released: run w47-0123abcd",
        "  odd",
        "PREFECT_API_URL names no server, so nobody was told",
    ]

    assert describe_held(storage) == "no drop is held"
    assert looks(storage)["w47"].state == "cleaned"
    for name, told in (
        ("w47", "nothing of the drop w47 is held"),
        ("w46", "nothing of the drop w46 is held"),
        ("w45", "no drop called 'w45' was cleaned. Did you mean w4"),
        ("../../x", "no drop called '../../x' was cleaned. `tokensieve approve` lists"),
    ):
        with pytest.raises(SettingsError, match=told):
            approve_drop(storage, name)


def test_approving_a_drop_releases_all_of_it_and_nothing_else(storage, monkeypatch):
    monkeypatch.setattr("tasks.prefect_state.is_configured", lambda: False)
    for drop, sha256 in (("w46", "1"), ("w47", "2"), ("w47", "3")):
        visit_of(drop, sha256, held=True).publish(storage, read_log(storage))

    approve_drop(storage, "w47")

    assert list(read_log(storage).held) == [1]


def test_a_workspace_without_drops_says_nothing_of_them(storage):
    assert describe_drops(storage) == ""


# --- looks


def look(state="cleaned", **versions):
    files = {
        f"{name}.jsonl": FileLook(num_bytes=3, version=version, sha256=name * 64)
        for name, version in versions.items()
    }
    return Look(state=state, files=files)


def test_looks_of_other_drops_stay_and_a_note_that_is_damaged_is_made_anew(storage):
    assert looks(storage) == {}
    note_looks(storage, {"a": look(x="1")})
    note_looks(storage, {"b": look(y="2")})
    assert looks(storage) == {"a": look(x="1"), "b": look(y="2")}

    storage.path("drops/LOOKS.json").write_bytes(b"cut")

    assert looks(storage) == {}


@pytest.mark.parametrize(
    ("state", "same"),
    [("cleaned", True), ("held", True), ("known", True), ("begun", False), ("failed", False)],
)
def test_what_was_not_brought_to_an_end_is_visited_again(location, state, same):
    put(location / "a" / "x.jsonl", "{}\n")
    drop = look_at(str(location), "a", HERE)
    version = drop.data["x.jsonl"].version

    assert look(state, x=version).is_same(drop) is same
    assert not look(state, x="other").is_same(drop)
    assert not look(state, x=version, y="1").is_same(drop)


def test_a_thousand_unchanged_drops_are_looked_through_in_seconds(location, tmp_path, storage):
    for n in range(1000):
        put(location / f"d{n}" / "x.jsonl", changed=LONG_AGO)
    found = find_drops(str(location), HERE)
    seen = {drop.name: look("cleaned", x=drop.data["x.jsonl"].version) for drop in found.drops}
    note_looks(storage, seen)
    put(location / "d7" / "y.jsonl", changed=LONG_AGO)
    settings = CleanDropsSettings(location=str(location), base="b", workspace=str(storage.root))

    began = time.process_time()
    sighting = find_changed_drops.fn(settings)

    assert (sighting.changed, sighting.num_unchanged) == (["d7"], 999)
    assert time.process_time() - began < 5


def test_what_was_begun_comes_before_what_came_meanwhile(location, storage):
    for name in ("a", "b", "c"):
        put(location / name / "x.jsonl", changed=LONG_AGO)
    note_looks(storage, {"b": look("failed"), "c": look("begun")})
    settings = CleanDropsSettings(location=str(location), base="b", workspace=str(storage.root))

    assert find_changed_drops.fn(settings).changed == ["c", "a", "b"]


# --- what is done about a drop


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def settings(inputs, location, tmp_path):
    return CleanDropsSettings(
        location=str(location),
        base=inputs.base,
        reference=inputs.reference,
        workspace=str(tmp_path / "workspace"),
        corpus={"template": "tulu"},
    )


def end(plan, **fields):
    """Record a planned visit as if all of its work was done; its corpus is made."""
    commit_corpus(plan.cleaning.corpus)
    visit = visit_of(plan.drop.name, corpus=plan.cleaning.corpus.artifact.id, **fields)
    visit.model_copy(update={"files": list(plan.files)}).publish(plan.storage, plan.log)
    note_looks(plan.storage, {plan.drop.name: plan.look("cleaned")})


def test_a_drop_on_s3_is_read_where_it_lies(settings, location, s3):
    path = write_drop(location / "x.jsonl", num_rows=5)
    s3.put("in/w47/x.jsonl", path.read_bytes())
    there = settings.model_copy(update={"location": s3.address("in"), "s3": s3.settings})

    end(plan_visit(there, "w47", on_gpu=False))

    write_drop(location_of(location, "here") / "again.jsonl", num_rows=5)
    assert told(plan_visit(settings, "here", on_gpu=False)) == [("again.jsonl", False)]
    assert told(plan_visit(there, "w47", on_gpu=False)) == [("x.jsonl", False)]


def told(plan):
    return [(file.name, file.is_new) for file in plan.files]


def test_a_first_visit_cleans_every_file(settings, location):
    write_drop(location_of(location, "a") / "x.jsonl", num_rows=5)
    write_drop(location_of(location, "a") / "y.jsonl", num_rows=6, seed=1)

    plan = plan_visit(settings, "a", on_gpu=False)

    assert told(plan) == [("x.jsonl", True), ("y.jsonl", True)]
    assert plan.cleaning.inventory.num_rows == (5, 6)
    assert plan.cleaning.run.name == f"a-{plan.cleaning.selection.artifact.id[:8]}"
    assert "earlier" not in plan.cleaning.corpus.artifact.plan
    assert plan.earlier_runs == []


def location_of(location, name):
    (location / name).mkdir(exist_ok=True)
    return location / name


def test_what_was_cleaned_is_known_in_any_drop_under_any_name(settings, location):
    write_drop(location_of(location, "a") / "x.jsonl", num_rows=5)
    end(plan_visit(settings, "a", on_gpu=False))
    shutil.copy(location / "a" / "x.jsonl", location_of(location, "b") / "other.jsonl")

    again, elsewhere = (plan_visit(settings, name, on_gpu=False) for name in ("a", "b"))

    assert (told(again), again.cleaning) == ([("x.jsonl", False)], None)
    assert (told(elsewhere), elsewhere.cleaning) == ([("other.jsonl", False)], None)


def test_of_a_drop_that_grew_only_new_files_are_read_and_earlier_samples_are_passed_over(
    settings, location
):
    write_drop(location_of(location, "a") / "x.jsonl", num_rows=5)
    first = plan_visit(settings, "a", on_gpu=False)
    end(first)
    write_drop(location / "a" / "y.jsonl", num_rows=6, seed=1)

    plan = plan_visit(settings, "a", on_gpu=False)

    assert told(plan) == [("x.jsonl", False), ("y.jsonl", True)]
    assert [file.name for file in plan.cleaning.inventory.files] == ["y.jsonl"]
    earlier = first.cleaning.corpus.artifact.id
    assert plan.cleaning.corpus.artifact.plan["earlier"] == [earlier]
    assert [corpus.id for corpus in plan.cleaning.corpus.earlier] == [earlier]


def test_a_file_that_has_not_changed_is_not_read_for_its_hash(settings, location, storage):
    write_drop(location_of(location, "a") / "x.jsonl", num_rows=5)
    drop = look_at(str(location), "a", HERE)
    seen = drop.data["x.jsonl"]
    noted = FileLook(num_bytes=seen.num_bytes, version=seen.version, sha256="made up")
    note_looks(storage, {"a": Look(state="begun", files={"x.jsonl": noted})})
    visit_of("b", "made up").publish(storage, Log(()))

    assert plan_visit(settings, "a", on_gpu=False).cleaning is None

    os.utime(location / "a" / "x.jsonl", (LONG_AGO, LONG_AGO))
    assert plan_visit(settings, "a", on_gpu=False).cleaning is not None


def test_a_corpus_that_was_removed_since_is_not_looked_at(settings, location, tmp_path):
    write_drop(location_of(location, "a") / "x.jsonl", num_rows=5)
    end(plan_visit(settings, "a", on_gpu=False))
    shutil.rmtree(tmp_path / "workspace" / "corpora")
    write_drop(location / "a" / "y.jsonl", num_rows=6, seed=1)

    assert plan_visit(settings, "a", on_gpu=False).cleaning.corpus.earlier == ()


def test_drift_is_compared_with_drops_that_were_cleaned_in_the_same_way(settings, location):
    for n, name in enumerate("abc"):
        write_drop(location_of(location, name) / "x.jsonl", num_rows=5, seed=n)
    plan = plan_visit(settings, "a", on_gpu=False)
    log = [visit_of("x", "1", way=way_of(plan.cleaning.run)), visit_of("y", "2", way="other")]
    for visit in log:
        visit.publish(plan.storage, read_log(plan.storage))

    assert plan_visit(settings, "b", on_gpu=False).earlier_runs == ["x-0123abcd"]
    frugal = settings.model_copy(
        update={"selection": settings.selection.model_copy(update={"keep": 0.5})}
    )
    assert plan_visit(frugal, "c", on_gpu=False).earlier_runs == []


def test_a_drop_whose_files_hold_no_rows_is_refused(settings, location):
    put(location / "a" / "x.jsonl", "\n")

    with pytest.raises(InputError, match=r"x\.jsonl: the drop has no rows"):
        plan_visit(settings, "a", on_gpu=False)


def test_a_drop_that_holds_a_link_out_of_it_is_refused(settings, location, tmp_path):
    secret = write_drop(tmp_path / "secret.jsonl", num_rows=3)
    location_of(location, "a")
    (location / "a" / "x.jsonl").symlink_to(secret)

    with pytest.raises(InputError, match=r"x\.jsonl: is a link out of"):
        plan_visit(settings, "a", on_gpu=False)


def test_what_every_drop_needs_is_checked_before_any_is_read(settings, location):
    check_drops_given(settings)

    with pytest.raises(SettingsError, match="--reference"):
        check_drops_given(settings.model_copy(update={"reference": None}))
    with pytest.raises(SettingsError, match="no selection and no run"):
        check_drops_given(settings.model_copy(update={"thresholds": "last-week"}))
    with pytest.raises(SettingsError, match="no such directory"):
        check_drops_given(settings.model_copy(update={"location": str(Path("/nowhere"))}))
