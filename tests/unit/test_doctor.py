"""What the doctor says of what is wrong, and that it always comes to an end."""

import os
import threading
from pathlib import Path

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

import tasks.doctor
from tasks.doctor import Finding, finding_lines, machine, refuse_if_bad, services
from tokensieve.errors import ResourceError, ServiceError
from tokensieve.storage import LocalStorage

ROOT = Path(__file__).resolve().parents[2]


def test_this_installation_is_sound():
    assert machine.check_python().verdict == "ok"
    assert machine.check_packages().verdict == "ok", machine.check_packages()


@pytest.mark.parametrize(
    ("required", "wrong"),
    [
        ("numpy>=1.0", ""),
        ("numpy>=99", " is not >=99"),
        ("no-such-package", "no-such-package is missing"),
        ("torch==2.13.0", ""),
    ],
)
def test_a_package_is_told_by_what_is_wrong_with_it(required, wrong):
    assert machine._wrong(Requirement(required)).endswith(wrong)


def test_a_workspace_that_others_may_write_to_is_warned_of(tmp_path):
    tmp_path.chmod(0o777)

    finding = services.check_workspace(LocalStorage(tmp_path))

    assert finding.verdict == "warn"
    assert finding.fix == f"chmod go-w {tmp_path}"
    tmp_path.chmod(0o755)
    assert services.check_workspace(LocalStorage(tmp_path)).verdict == "ok"


def test_a_workspace_that_cannot_be_made_is_bad(tmp_path):
    (tmp_path / "file").write_text("x")
    storage = LocalStorage(tmp_path / "file/workspace")

    finding = tasks.doctor._found(lambda: services.check_workspace(storage))

    assert finding.verdict == "bad"
    assert "cannot be used as a workspace" in finding.found


@pytest.mark.parametrize(("mode", "verdict"), [(0o600, "ok"), (0o640, "bad"), (0o644, "bad")])
def test_a_token_that_others_can_read_is_bad(tmp_path, monkeypatch, mode, verdict):
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))

    finding = services.check_ray_token()

    assert finding.verdict == verdict
    assert "secret" not in finding.found + finding.fix


def test_ray_without_a_token_is_bad(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")

    assert services.check_ray_token().verdict == "bad"


def test_a_home_of_prefect_that_others_can_read_is_warned_of(tmp_path):
    with temporary_settings({PREFECT_HOME: tmp_path}):
        tmp_path.chmod(0o755)
        assert services.check_prefect_home().fix == f"chmod 700 {tmp_path}"
        tmp_path.chmod(0o700)
        assert services.check_prefect_home().verdict == "ok"


def test_a_server_that_does_not_answer_is_bad_and_none_is_fine():
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert tasks.doctor._found(services.check_prefect).verdict == "bad"
    with temporary_settings({PREFECT_API_URL: None}):
        assert services.check_prefect().verdict == "ok"


def test_a_check_that_hangs_is_bad_after_its_time(monkeypatch):
    monkeypatch.setattr(tasks.doctor, "LIMIT_SECONDS", 0.05)
    waiting = threading.Event()

    finding = tasks.doctor._found(lambda: waiting.wait(30) and Finding("ok", ""))

    waiting.set()
    assert finding.verdict == "bad"
    assert "no answer within 0.05 s" in finding.found


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ServiceError("Ray is gone. Start it."), "Ray is gone. Start it."),
        (httpx.ConnectError("refused"), "the server does not answer (ConnectError)"),
    ],
)
def test_the_errors_of_a_run_are_findings(error, found):
    def check():
        raise error

    assert tasks.doctor._tried(check).found == found


def test_a_finding_shows_its_fix_and_one_that_is_bad_ends_the_command():
    shown = finding_lines("disk", Finding("warn", "2 GB free", "Free some space"))

    assert shown.splitlines()[0].split() == ["warn", "disk", "2", "GB", "free"]
    assert shown.splitlines()[1].strip() == "fix: Free some space"
    refuse_if_bad([Finding("warn", "", "")])
    with pytest.raises(ResourceError, match="1 of 2 checks failed"):
        refuse_if_bad([Finding("ok", ""), Finding("bad", "", "")])


def test_the_automation_is_looked_for_by_the_name_that_is_shipped():
    shipped = yaml.safe_load((ROOT / "deployments/automations.yaml").read_text())

    assert services.ZOMBIE_AUTOMATION in [each["name"] for each in shipped["automations"]]


def test_no_secret_of_the_environment_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-doctor")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary-of-the-doctor")
    with temporary_settings({PREFECT_API_URL: None}):
        shown = [
            finding_lines(name, finding)
            for name, finding in tasks.doctor.diagnose(LocalStorage(tmp_path), "127.0.0.1:9")
        ]

    assert len(shown) == 11
    assert "canary" not in "".join(shown)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "canary-of-the-doctor"
