"""deploy/ and .vscode: parsed as what they are, and held against the settings and the files there are."""

import configparser
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.settings import load_settings
from entrypoints.settings_model import Settings
from entrypoints.settings_sources import from_environment
from tests import deployment
from tests.deployment import ROOT

DEPLOY = ROOT / "deploy"
COMPONENTS = {"api": ["api"], "email": ["consumer", "email"], "sms": ["consumer", "sms"]}


def loaded(environ: Mapping[str, str], tmp_path: Path) -> Settings:
    """The settings of such an environment; what a file holds is "x" here, and keys are right ones."""
    values = dict(environ)
    for name in [name for name in values if name.endswith("_FILE")]:
        if from_environment({name: "/nowhere"}, Path("/")).mistakes:
            (tmp_path / "value").write_text("x")
            values[name] = str(tmp_path / "value")
    return load_settings(None, (), values, tmp_path).settings


# Kubernetes -----------------------------------------------------------------------------------------


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


def kustomization() -> dict[str, Any]:
    [found] = manifests("kustomization.yaml")
    return found


def config_maps() -> Mapping[str, Mapping[str, str]]:
    """What kustomize makes of the files of settings."""
    return {
        generator["name"]: dict(
            line.split("=", 1)
            for file in generator["envs"]
            for line in (DEPLOY / "kubernetes" / file).read_text().splitlines()
        )
        for generator in kustomization()["configMapGenerator"]
    }


@pytest.mark.parametrize("component", list(COMPONENTS))
def test_a_pod_has_right_settings_and_only_the_secrets_that_its_own_settings_name(
    component: str, tmp_path: Path
) -> None:
    deployment_, *_ = manifests(f"{component}.yaml")
    pod = deployment_["spec"]["template"]["spec"]
    [container] = pod["containers"]
    environ = deployment.image_environment()
    for source in container["envFrom"]:
        environ |= config_maps()[source["configMapRef"]["name"]]
    environ |= {one["name"]: one["value"] for one in container["env"]}
    settings = loaded({k: v for k, v in environ.items() if k.startswith("HERALD_")}, tmp_path)

    mounted = next(v["secret"] for v in pod["volumes"] if v["name"] == "secrets")
    made = {file.split("=")[0] for file in kustomization()["secretGenerator"][0]["files"]}
    named = {v.rpartition("/")[2] for v in environ.values() if v.startswith("/run/secrets/herald/")}
    assert container["args"] == COMPONENTS[component]
    assert {item["key"] for item in mounted["items"]} == named <= made
    assert settings.broker.backend == "kafka"
    assert {topic.replication_factor for topic in settings.topics} == {3}
    assert pod["terminationGracePeriodSeconds"] > settings.delivery.drain_seconds
    assert settings.api.asks_for_keys() == (component == "api")


@pytest.mark.parametrize("component", list(COMPONENTS))
def test_a_pod_is_asked_at_the_port_that_it_listens_on_and_may_do_nothing_else(component: str) -> None:
    deployment_, *others = manifests(f"{component}.yaml")
    spec = deployment_["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    [port] = container["ports"]
    given = {one["name"]: one["value"] for one in container["env"]}
    listens = {"api": 8080}.get(component) or int(given["HERALD_CONSUMER__PORT"])

    assert port["containerPort"] == listens
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": f"/health/{path}", "port": port["name"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["enableServiceLinks"] is False
    labels = spec["template"]["metadata"]["labels"]
    [budget] = [other for other in others if other["kind"] == "PodDisruptionBudget"]
    assert spec["selector"]["matchLabels"] == labels == budget["spec"]["selector"]["matchLabels"]


def test_the_service_leads_to_the_api_and_every_file_is_applied() -> None:
    api, service, _ = manifests("api.yaml")

    assert service["spec"]["selector"] == api["spec"]["template"]["metadata"]["labels"]
    assert {*kustomization()["resources"], "kustomization.yaml"} == {
        path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")
    }


# AWS ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", list(COMPONENTS))
def test_a_task_has_right_settings_is_not_replaced_while_kafka_is_away_and_has_time_to_drain(
    component: str, tmp_path: Path
) -> None:
    task = json.loads((DEPLOY / "aws" / f"{component}.json").read_text())
    [container] = task["containerDefinitions"]
    secrets = {one["name"]: "x" for one in container["secrets"]}
    if "HERALD_API__KEYS" in secrets:
        secrets["HERALD_API__KEYS"] = f"shop {'0' * 64} *"
    environ = {one["name"]: one["value"] for one in container["environment"]}
    settings = loaded(environ | secrets, tmp_path)

    assert environ.keys() & secrets.keys() == set()
    assert container["command"] == COMPONENTS[component]
    assert container["healthCheck"]["command"] == ["CMD", "herald", "health", "--live"]
    assert container["stopTimeout"] > settings.delivery.drain_seconds
    assert container["readonlyRootFilesystem"]
    assert (settings.kafka.security_protocol, settings.kafka.sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert settings.api.asks_for_keys() == (component == "api")


def test_what_a_task_mounts_is_a_volume_of_the_image_and_so_not_root_s_alone() -> None:
    """Fargate gives an empty volume the image's owner and rights only where the image names it."""
    volumes = json.loads(dict(deployment.instructions((ROOT / "Dockerfile").read_text()))["VOLUME"])
    tasks = [json.loads(file.read_text()) for file in (DEPLOY / "aws").glob("*.json")]
    mounted = {
        mount["containerPath"]
        for task in tasks
        for container in task["containerDefinitions"]
        for mount in container["mountPoints"]
    }

    assert len(tasks) == len(COMPONENTS)
    assert mounted == set(volumes)


# One machine ----------------------------------------------------------------------------------------


def units() -> Mapping[str, Mapping[str, str]]:
    """Each unit's [Service], names in small letters; of one that stands there more than once the last."""
    found = {}
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        parser = configparser.RawConfigParser(strict=False)
        parser.read(path)
        found[path.name] = {name.lower(): value for name, value in parser["Service"].items()}
    return found


def unit_environment(name: str) -> dict[str, str]:
    text = (DEPLOY / "systemd" / name).read_text()
    return dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("name", list(units()))
def test_a_unit_gives_right_settings_with_its_file_and_time_to_drain(name: str, tmp_path: Path) -> None:
    tables = tomllib.loads((DEPLOY / "systemd" / "herald.toml").read_text())
    from_file = {
        f"HERALD_{section.upper()}__{field.upper()}": str(value)
        for section, fields in tables.items()
        for field, value in fields.items()
    }
    settings = loaded(from_file | unit_environment(name), tmp_path)
    service = units()[name]

    assert int(service["timeoutstopsec"]) > settings.delivery.drain_seconds
    assert settings.logging.file == ""
    assert settings.sqlite.path.startswith(f"/var/lib/{service['statedirectory']}/")
    assert (service["user"], service["nonewprivileges"]) == ("herald", "yes")


# The editor -----------------------------------------------------------------------------------------


def editor_files() -> Iterator[tuple[Path, Any]]:
    for path in sorted((ROOT / ".vscode").glob("*.json")):
        yield path, json.loads(path.read_text())


def test_the_editor_s_files_are_json_and_what_they_name_below_the_project_is_there() -> None:
    named: set[str] = set()
    for path, _ in editor_files():
        named |= set(re.findall(r"\$\{workspaceFolder\}/([^\"*:$]+)", path.read_text()))
    made_by_install = {".venv/bin/python"}

    assert {path.name for path, _ in editor_files()} == {"extensions.json", "launch.json", "settings.json"}
    assert [name for name in named - made_by_install if not (ROOT / name).exists()] == []


def test_f5_debugs_herald_run_with_all_its_processes() -> None:
    first, *others = dict(editor_files())[ROOT / ".vscode" / "launch.json"]["configurations"]

    assert (first["module"], first["args"], first["subProcess"]) == ("entrypoints.cli", ["run"], True)
    assert {one["module"] for one in others} == {"entrypoints.cli", "pytest"}


def test_what_formats_and_lints_in_the_editor_is_what_make_lint_runs() -> None:
    files = {path.name: content for path, content in editor_files()}

    assert files["settings.json"]["[python]"]["editor.defaultFormatter"] == "charliermarsh.ruff"
    assert files["settings.json"]["python.testing.pytestArgs"] == ["tests/unit"]
    assert {"ms-python.python", "charliermarsh.ruff"} <= set(files["extensions.json"]["recommendations"])
