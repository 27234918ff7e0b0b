"""What deployments/ ships can be deployed: files load, entry points import, versions agree."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.cli.deploy._triggers import DeploymentTriggerAdapter
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.flows import Flow

from flows.deployed import read_settings
from tasks.drops import CLEANED
from tests.unit.test_architecture import CONFIGS, PLACES, ROOT
from tokensieve.errors import SettingsError
from tokensieve.settings import CleanDropsSettings
from tokensieve.settings.deployed import DEPLOYED, deployed_settings

DEPLOYMENTS = ROOT / "deployments"
PREFECT = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())
DEPLOYED_BY_PREFECT = {each["name"]: each for each in PREFECT["deployments"]}
COMPOSE = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
CLUSTER = yaml.safe_load((DEPLOYMENTS / "kuberay/ray-cluster.yaml").read_text())
JOB = yaml.safe_load((DEPLOYMENTS / "kuberay/ray-job.yaml").read_text())
DOCKERFILE = (DEPLOYMENTS / "Dockerfile").read_text()
PLACE = """
location = "drops"
base = "models/base"
reference = "models/reference"

[selection]
keep = 0.5

[deployments.train]
init = "models/other"
training = { epochs = 2 }

[deployments.clean]
files = ["drop.jsonl"]
selection = { seed = 3 }
"""


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "place.toml"
    path.write_text(PLACE)
    return path


def test_a_deployment_takes_what_all_share_and_its_own_table_over_it(place, tmp_path):
    settings = deployed_settings(place, "clean")

    assert settings.files == (str(tmp_path / "drop.jsonl"),)
    assert settings.base == str(tmp_path / "models/base")
    assert (settings.selection.keep, settings.selection.seed) == (0.5, 3)


def test_a_deployment_does_not_take_what_it_does_not_know_of_what_all_share(place, tmp_path):
    settings = deployed_settings(place, "train")

    assert (settings.init, settings.training.epochs) == (str(tmp_path / "models/other"), 2)
    assert "reference" not in settings.model_dump()


def test_rounds_make_their_own_reference_and_do_not_take_the_one_of_clean_drops(place):
    place.write_text(f'{PLACE}\n[deployments.evolve-round]\nfiles = ["drop.jsonl"]\n')

    assert deployed_settings(place, "evolve-round").reference is None
    assert deployed_settings(place, "clean").reference is not None


def test_the_file_is_one_of_clean_drops_whose_command_passes_the_other_tables_over(place, tmp_path):
    settings = CleanDropsSettings.load(place, {})

    assert settings.location == str(tmp_path / "drops")
    assert settings == deployed_settings(place, "clean-drops")


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (("location", "locaton"), "locaton: unknown key; did you mean location?"),
        (("epochs", "epoch"), r"training\.epoch: unknown key; did you mean epochs?"),
        (("deployments.train", "deployments.trian"), "deployments: holds one .*, not for trian"),
        (("training = {", "selection = {"), "selection: unknown key"),
    ],
)
def test_what_is_misspelt_anywhere_is_told_to_whoever_deploys_anything(place, edit, told):
    place.write_text(PLACE.replace(*edit))

    with pytest.raises(SettingsError, match=told):
        deployed_settings(place, "train")


def test_deployments_that_are_no_tables_are_refused(place):
    place.write_text(f"deployments = 3\n{PLACE.partition('[deployments')[0]}")

    with pytest.raises(SettingsError, match="deployments: holds one table for each of clean-drops"):
        deployed_settings(place, "train")


def test_parameters_hold_what_the_file_says_and_no_defaults(place, tmp_path):
    parameters = read_settings("train", str(place))

    assert parameters == {
        "settings": {
            "base": str(tmp_path / "models/base"),
            "init": str(tmp_path / "models/other"),
            "training": {"epochs": 2},
            "workspace": str(Path.cwd() / "workspace"),  # the worker's directory is another
        }
    }


def test_nothing_is_deployed_without_a_settings_file():
    with pytest.raises(SettingsError, match="TOKENSIEVE_SETTINGS: is not set"):
        read_settings("train", "")


@pytest.mark.parametrize("deployment", DEPLOYED)
@pytest.mark.parametrize("name", PLACES)
def test_every_place_has_what_every_deployment_needs(name, deployment):
    settings = deployed_settings(CONFIGS / name, deployment)

    assert type(settings) is DEPLOYED[deployment]


@pytest.mark.parametrize("name", PLACES)
def test_the_rounds_of_every_place_have_a_gate(name):
    assert deployed_settings(CONFIGS / name, "evolve-round").holdout


@pytest.mark.parametrize("name", PLACES)
def test_every_place_keeps_its_drops_apart_from_its_workspace(name):
    settings = CleanDropsSettings.load(CONFIGS / name, {})
    drops, workspace = f"{settings.location}/", f"{settings.workspace}/"

    assert not drops.startswith(workspace)
    assert not workspace.startswith(drops)


def test_the_place_for_a_cluster_is_a_store_and_names_no_secret():
    text = (CONFIGS / "cluster.toml").read_text()
    place = tomllib.loads(text)

    assert place["workspace"].startswith("s3://")
    assert place["cluster"] == {"address": "auto", "workers": 2}
    assert not re.search(r"^\s*\w*(secret|key|token|password)\w*\s*=", text, re.MULTILINE)


def entrypoint(deployment):
    module, _, name = DEPLOYED_BY_PREFECT[deployment]["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_prefect_yaml_has_the_form_that_prefect_reads_and_pulls_no_code():
    PrefectYamlModel.model_validate(PREFECT)

    assert PREFECT["pull"] == []
    assert set(DEPLOYED_BY_PREFECT) == set(DEPLOYED)


@pytest.mark.parametrize("deployment", DEPLOYED)
def test_the_entry_point_of_a_deployment_is_a_flow_that_takes_its_settings(deployment):
    flow = entrypoint(deployment)
    [step] = DEPLOYED_BY_PREFECT[deployment]["build"]

    assert isinstance(flow, Flow)
    assert flow.fn.__annotations__["settings"] is DEPLOYED[deployment]
    assert step["flows.deployed.read_settings"]["deployment"] == deployment


@pytest.mark.parametrize("deployment", DEPLOYED)
def test_a_flow_accepts_the_parameters_that_are_deployed(deployment):
    file = str(CONFIGS / "tiny.toml")
    given = read_settings(deployment, file)
    [trigger] = DEPLOYED_BY_PREFECT[deployment].get("triggers", [{"parameters": {}}])

    checked = entrypoint(deployment).validate_parameters(given | trigger["parameters"])

    assert checked["settings"] == deployed_settings(Path(file), deployment)


def test_drops_are_cleaned_and_rounds_done_on_a_schedule_and_the_rest_on_demand():
    crons = {
        name: [schedule["cron"] for schedule in each.get("schedules", [])]
        for name, each in DEPLOYED_BY_PREFECT.items()
    }

    assert {name for name, found in crons.items() if found} == {"clean-drops", "evolve-round"}
    for [cron] in filter(None, crons.values()):
        assert CronSchedule(cron=cron, timezone="UTC").cron == cron


def test_a_deployment_runs_once_at_a_time_and_only_what_repeats_itself_is_cancelled():
    strategy = {
        name: (each["concurrency_limit"]["limit"], each["concurrency_limit"]["collision_strategy"])
        for name, each in DEPLOYED_BY_PREFECT.items()
    }

    assert strategy == {
        "clean-drops": (1, "CANCEL_NEW"),
        "evolve-round": (1, "CANCEL_NEW"),
        "train": (1, "ENQUEUE"),
        "clean": (1, "ENQUEUE"),
        "compare": (1, "ENQUEUE"),
    }


def test_a_cleaned_drop_starts_a_training_on_its_run():
    [spec] = DEPLOYED_BY_PREFECT["train"]["triggers"]
    trigger = DeploymentTriggerAdapter.validate_python(spec)

    assert trigger.expect == {CLEANED}
    assert trigger.match.matches({"prefect.resource.id": "tokensieve.drop.2026-w47"})
    assert trigger.parameters == {"selection": "{{ event.payload.run }}"}
    assert trigger.enabled


def test_a_run_that_misses_three_heartbeats_is_marked_as_crashed():
    [spec] = yaml.safe_load((DEPLOYMENTS / "automations.yaml").read_text())["automations"]
    automation = AutomationCore.model_validate(spec)
    pool = DEPLOYED_BY_PREFECT["clean-drops"]["work_pool"]
    seconds = int(pool["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])

    assert automation.trigger.after == {"prefect.flow-run.heartbeat"}
    assert automation.trigger.within == timedelta(seconds=3 * seconds)
    assert automation.actions[0].state == "CRASHED"


def test_compose_has_the_form_of_the_compose_specification():
    check = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [sys.executable, *check, DEPLOYMENTS / "compose.yaml"], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


def test_compose_publishes_to_this_machine_only():
    published = [port for each in COMPOSE["services"].values() for port in each.get("ports", [])]

    assert published == ["127.0.0.1:4200:4200", "127.0.0.1:8333:8333"]


def test_every_service_says_whether_it_is_well():
    silent = {name for name, each in COMPOSE["services"].items() if "healthcheck" not in each}

    assert silent == {"deploy"}  # it ends


def test_every_secret_of_compose_is_asked_for_and_has_no_default():
    used = set(re.findall(r"\$\{([^}]*)\}", (DEPLOYMENTS / "compose.yaml").read_text()))
    example = (DEPLOYMENTS / ".env.example").read_text()
    offered = dict(re.findall(r"^(\w+)=[ \t]*([^#\n]*)", example, re.MULTILINE))

    assert used == {f"{name}:?see .env.example" for name in offered}
    assert set(offered.values()) == {""}


def test_what_is_secret_stays_out_of_git_and_of_the_image():
    assert "/deployments/.env" in (ROOT / ".gitignore").read_text().splitlines()
    assert "**/.env" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_image_has_every_package_and_what_the_build_needs_is_let_through():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    copies = " ".join(re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE))
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}

    assert packages <= set(copies.split())
    assert set(copies.split()) == allowed
    assert all((ROOT / path).exists() for path in allowed)


def test_the_image_installs_the_lock_and_runs_as_somebody_without_rights():
    assert "--constraint /opt/tokensieve/constraints.txt" in DOCKERFILE
    assert re.search(r"^FROM python:3\.11-slim$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["tokensieve"]
    assert "PYTHONSAFEPATH=1" in DOCKERFILE
    assert "RAY_AUTH_MODE=token" in DOCKERFILE


def test_kuberay_runs_the_version_of_ray_in_the_lock_with_a_token():
    [locked] = re.findall(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert (CLUSTER["apiVersion"], CLUSTER["kind"]) == ("ray.io/v1", "RayCluster")
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    assert CLUSTER["spec"]["rayVersion"] == locked
    assert CLUSTER["spec"]["authOptions"] == {"mode": "token"}


def test_the_cluster_of_a_job_is_the_standing_cluster():
    assert JOB["spec"]["rayClusterSpec"] == CLUSTER["spec"]
    assert JOB["spec"]["entrypoint"].endswith("/deployments/configs/cluster.toml")


def test_the_head_of_a_cluster_does_no_work_and_each_worker_has_a_gpu():
    head, [workers] = CLUSTER["spec"]["headGroupSpec"], CLUSTER["spec"]["workerGroupSpecs"]
    [worker] = workers["template"]["spec"]["containers"]

    assert head["rayStartParams"]["num-cpus"] == "0"
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "--num-cpus 0" in COMPOSE["services"]["ray-head"]["command"]


def test_every_container_runs_the_image_as_somebody_without_rights():
    deployment = yaml.safe_load((DEPLOYMENTS / "kuberay/prefect-worker.yaml").read_text())
    groups = [CLUSTER["spec"]["headGroupSpec"], *CLUSTER["spec"]["workerGroupSpecs"]]
    pods = [each["template"]["spec"] for each in (*groups, deployment["spec"])]

    for pod in pods:
        [container] = pod["containers"]
        assert container["image"] == "tokensieve"
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_file_of_rays_launcher_has_the_form_that_ray_reads():
    schema = Path(ray.__file__).parent / "autoscaler/ray-schema.json"
    launched = yaml.safe_load((DEPLOYMENTS / "ray-cluster.yaml").read_text())

    jsonschema.validate(launched, json.loads(schema.read_text()))

    assert launched["available_node_types"]["head"]["resources"] == {"CPU": 0}
    starts = [*launched["head_start_ray_commands"], *launched["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in each for each in starts if "ray start" in each)
