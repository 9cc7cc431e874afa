"""Alerts, dashboard and runbook speak of metrics that exist, and of each other."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from application.counts import DeliveryCounts, ProduceCounts
from application.delivery_snapshot import DeliverySnapshot, ShardLag
from entrypoints.consumer_metrics import ConsumerMetrics
from entrypoints.metrics import render_produce_metrics
from tests import pages

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ANSWERS_IN_RUNBOOK = ("What it means.", "How to look.", "What to do.", "Wake somebody")


def read_yaml(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


# What is told, by processes that run and by Prometheus itself ------------------------------------------


def told() -> Iterator[tuple[str, frozenset[str]]]:
    """Each series' name with its labels, from the text that processes answer."""
    produced = ProduceCounts.of(["transactions"])
    delivered = DeliveryCounts.of(["transactions"])
    delivered.age("transactions", 1.0)
    snapshot = DeliverySnapshot(
        group="email",
        in_flight=0,
        channel_up=True,
        lags=(ShardLag(topic="transactions", partition=0, end=0, committed=0),),
        oldest_unfinished={"transactions": 0.0},
        retention_used={"transactions": 0.0},
    )
    consumer = ConsumerMetrics(
        counts=delivered, snapshot=lambda: snapshot, version="1.2.3", started_at=1_800_000_000.0
    )
    for text in (render_produce_metrics(produced, "1.2.3"), consumer.text()):
        for family in text_string_to_metric_families(text.decode()):
            yield from ((sample.name, frozenset(sample.labels)) for sample in family.samples)


OF_SCRAPING = {"job", "instance"}
SERIES = {name: labels | OF_SCRAPING for name, labels in told()} | {"up": OF_SCRAPING}

# What is asked ----------------------------------------------------------------------------------------

RULES = [rule for group in read_yaml("prometheus/herald.rules.yml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
# A recorded series has the labels that its sum is by.
RECORDED = {
    rule["record"]: frozenset(re.search(r"\bby \(([^)]*)\)", rule["expr"])[1].split(", "))  # type: ignore[index]
    for rule in RULES
    if "record" in rule
}
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/herald.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    *((name, str(rule["expr"])) for name, rule in ALERTS.items()),
    *((name, str(rule["expr"])) for rule in RULES if (name := rule.get("record"))),
    *((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]),
    *((one["name"], one["definition"]) for one in DASHBOARD["templating"]["list"] if one["type"] == "query"),
]

_SELECTOR = re.compile(r"\b((?:herald|process)[a-z_:]*|up)\b(?!\s*\()(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
_LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")


@pytest.mark.parametrize(("where", "query"), QUERIES)
def test_every_series_that_is_asked_for_is_told_with_the_labels_it_is_asked_by(
    where: str, query: str
) -> None:
    known = {**SERIES, **RECORDED}
    asked = _SELECTOR.findall(query)
    grouped = {label for labels in _GROUPING.findall(query) for label in labels.split(", ")}
    grouped |= {label for _, label in _LABEL_VALUES.findall(query)}

    assert asked, where
    assert [name for name, _ in asked if name not in known] == []
    assert [
        (n, label) for n, given in asked for label in _MATCHER.findall(given) if label not in known[n]
    ] == []
    assert grouped <= {label for name, _ in asked for label in known[name]}


def test_everything_that_is_told_is_shown_on_the_dashboard_or_asked_for_by_an_alert() -> None:
    asked = {name for _, query in QUERIES for name, _ in _SELECTOR.findall(query)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in SERIES}

    assert families <= {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}


# Alerts and their entries in the runbook --------------------------------------------------------------


def test_every_alert_has_an_entry_in_the_runbook_and_no_entry_is_left_over() -> None:
    assert re.findall(r"(?m)^## (\w+)$", RUNBOOK) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_how_bad_it_is_and_where_its_entry_stands(name: str) -> None:
    rule = ALERTS[name]

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_an_entry_says_what_it_means_how_to_look_what_to_do_and_when_to_wake_somebody(name: str) -> None:
    entry = pages.section(RUNBOOK, name)

    assert [bold for bold in re.findall(r"\*\*([^*]+)\*\*", entry) if bold in ANSWERS_IN_RUNBOOK] == list(
        ANSWERS_IN_RUNBOOK
    )


def test_an_alert_shows_only_labels_that_its_expression_leaves() -> None:
    def shown(rule: Any) -> set[str]:
        return set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))

    def left(query: str) -> set[str]:
        by = {label for labels in re.findall(r"\bby \(([^)]*)\)", query) for label in labels.split(", ")}
        recorded = [RECORDED.get(name, frozenset()) for name, _ in _SELECTOR.findall(query)]
        return by.union(*recorded) or {
            label for name, _ in _SELECTOR.findall(query) for label in SERIES[name]
        }

    assert [(name, shown(rule) - left(rule["expr"])) for name, rule in ALERTS.items()] == [
        (name, set()) for name in ALERTS
    ]


def test_each_alert_is_seen_firing_by_a_rule_test() -> None:
    tests = (DEPLOY / "prometheus/herald.tests.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"Herald[A-Za-z.*|]+", tests))
    patterns = [pattern for one in named for pattern in one.split("|")]

    assert [name for name in ALERTS if not any(re.fullmatch(p, name) for p in patterns)] == []


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        assert not os.environ.get("CI"), "promtool is missing: .ci/run installs it"
        pytest.skip("promtool is not here (Debian: prometheus)")
    return subprocess.run(
        [found, *arguments],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "herald.tests.yml")]
)
def test_prometheus_itself_takes_the_rules_and_they_fire_when_they_should(arguments: tuple[str, ...]) -> None:
    ended = promtool(*arguments)

    assert ended.returncode == 0, ended.stdout + ended.stderr


# What is scraped, and what Grafana reads --------------------------------------------------------------


def test_the_jobs_that_alerts_ask_for_are_scraped() -> None:
    jobs = {job["job_name"] for job in read_yaml("prometheus/prometheus.yml")["scrape_configs"]}
    asked = {match for _, query in QUERIES for match in re.findall(r"job=\"([^\"]+)\"", query)}
    patterns = {match for _, query in QUERIES for match in re.findall(r"job=~\"([^\"]+)\"", query)}

    assert asked <= jobs
    assert [p for p in patterns if not all(re.fullmatch(p, job) for job in jobs)] == []


def test_every_panel_can_be_told_from_the_others_says_what_it_shows_and_asks_the_chosen_prometheus() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(set(ids)) == len(ids)
    assert [
        p["title"] for p in PANELS if not (p["description"] and p["fieldConfig"]["defaults"]["unit"])
    ] == []
    assert {t["datasource"]["uid"] for p in PANELS for t in [p, *p["targets"]]} == {"${datasource}"}


def test_no_panel_lies_upon_another() -> None:
    def cells(panel: Any) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}

    pairs = combinations(DASHBOARD["panels"], 2)
    assert [(a["title"], b["title"]) for a, b in pairs if cells(a) & cells(b)] == []
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in DASHBOARD["panels"]) == 24


def test_the_variables_that_queries_use_are_those_of_the_dashboard() -> None:
    used = set(re.findall(r"\$(\w+)", " ".join(query for _, query in QUERIES)))

    assert used - {"__rate_interval", "labels", "value"} == {"topic", "group"}
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "topic", "group"]


def test_the_dashboard_s_prometheus_is_the_one_that_is_provisioned() -> None:
    (source,) = read_yaml("grafana/datasources/herald.yml")["datasources"]
    (provider,) = read_yaml("grafana/dashboards/herald.yml")["providers"]

    assert DASHBOARD["templating"]["list"][0]["current"]["value"] == source["uid"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"
