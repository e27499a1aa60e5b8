"""What docs/operations.md, the alert rules and the dashboard name is there."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from typed import check, commands_in

import tracker
from bench.exposition import parse
from tracker.errors import TrackerError
from tracker.metrics import Metrics
from tracker.model import DeliveryStatus, EndpointState, MissKind, Status

DOCS = Path(__file__).parent.parent / "docs"
DATA = Path(__file__).parent / "data"
PAGE = (DOCS / "operations.md").read_text()
ALERTS = [
    rule for group in yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text())


def typed() -> Iterator[str]:
    """Every command of ours on the page and in the alerts."""
    for line in re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE):
        yield from commands_in(line)
    for code in re.findall(r"`([^`\n]+)`", PAGE):
        yield from commands_in(code)
    for rule in ALERTS:
        yield from commands_in(re.sub(r"\{\{.*?\}\}", "NAME", rule["annotations"]["action"]))


COMMANDS = sorted({line for line in typed() if not line.endswith("…")})


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_on_the_page_is_one(line: str) -> None:
    check(line)


def test_the_page_has_many_commands() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("line", ["tracker nothing", "tracker list --colour", "tracker token create --scope king"])
def test_what_is_no_command_is_found_out(line: str) -> None:
    with pytest.raises(click.UsageError):
        check(line)


def test_every_exit_code_is_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}

    assert told == {0, 130, *(kind.exit_code for kind in _kinds(TrackerError))}


def _kinds(kind: type[TrackerError]) -> Iterator[type[TrackerError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def test_every_event_on_the_page_is_logged() -> None:
    table = PAGE.partition("| event | level |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}

    assert len(told) > 15
    assert told <= set(_logged())


def _logged() -> Iterator[str]:
    for path in Path(tracker.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log" | "_log")), args=[ast.Constant(value=str(event)), *_]
                ):
                    yield event


def test_every_setting_on_the_page_is_one() -> None:
    from tracker.config.keys import KEYS

    sections = {key.path[0] for key in KEYS if len(key.path) > 1}
    told = {name for name in re.findall(r"`(\w+\.\w+)`", PAGE) if name.split(".")[0] in sections}

    assert told
    assert told <= {".".join(key.path) for key in KEYS}


def test_the_scrape_configuration_is_one() -> None:
    (snippet,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    told = yaml.safe_load(snippet)

    (job,) = told["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8640"]}]
    assert all((DOCS / name).exists() for name in told["rule_files"])


UNITS = DOCS.parent / "systemd"


def test_every_unit_on_the_page_is_there() -> None:
    told = set(re.findall(r"\btracker[\w-]*\.(?:service|socket|timer)\b", PAGE))

    assert len(told) > 3
    assert told <= {path.name for path in UNITS.iterdir()}


def test_credentials_are_named_as_the_unit_names_their_folders() -> None:
    service = (UNITS / "tracker.service").read_text()

    assert "LoadCredentialEncrypted=encrypted:/etc/tracker/credentials.encrypted\n" in service
    assert "LoadCredential=tracker:/etc/tracker/credentials\n" in service
    assert "--name=encrypted_upstream-default-token - /etc/tracker/credentials.encrypted/upstream-default-token" in PAGE


# Metrics


def expressions() -> list[str]:
    """What the alerts and the dashboard ask Prometheus."""
    asked = [rule["expr"] for rule in ALERTS]
    return asked + [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def exposed() -> dict[str, set[str]]:
    """Every series of a daemon that has seen everything, with the names of its labels; and what Prometheus adds."""
    metrics = Metrics(version="1")
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram) and (names := metric._labelnames):  # noqa: SLF001 - no other way
            metric.labels(*names)
    series = parse(metrics.exposition()[0].decode()).series
    return {name: {label for label, _ in labels} for name, labels in series} | {"up": set()}


_SELECTOR = re.compile(r"\b(up|tracker_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
BY_PROMETHEUS = {"job", "instance"}


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_that_is_asked_for_is_exposed(expression: str) -> None:
    there = exposed()
    selectors = _SELECTOR.findall(re.sub(r'"[^"]*"', lambda quoted: quoted[0].replace("tracker", "-"), expression))

    assert selectors
    for name, matchers in selectors:
        assert name in there, name
        labels = {label for label, _, _ in _MATCHER.findall(matchers)}
        assert labels - BY_PROMETHEUS <= there[name], name
    by = {label for names in re.findall(r"\bby \(([^)]*)\)", expression) for label in names.split(", ")}
    assert by - BY_PROMETHEUS <= set.union(*(there[name] for name, _ in selectors))


VALUES = {
    ("tracker_upstream_errors_total", "kind"): set(MissKind),
    ("tracker_endpoint_turns_total", "state"): set(EndpointState),
    ("tracker_endpoints", "state"): set(EndpointState),
    ("tracker_tasks", "status"): set(Status),
    ("tracker_deliveries_by_status", "status"): set(DeliveryStatus),
    ("tracker_deliveries_total", "outcome"): {"delivered", "dead", "failed"},
    ("tracker_operator_messages_total", "outcome"): {"delivered", "dead", "failed"},
}


def test_every_value_that_is_asked_for_is_one() -> None:
    asked = 0
    for name, matchers in (found for one in expressions() for found in _SELECTOR.findall(one)):
        for label, _, value in _MATCHER.findall(matchers):
            if label in BY_PROMETHEUS or (name, label) not in VALUES:
                continue
            asked += 1
            assert set(value.split("|")) <= {str(known) for known in VALUES[name, label]}, (name, value)
    assert asked > 5


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Tracker[A-Za-z]+", rule["alert"])
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert re.search(r"[<>=]", re.sub(r"\{[^}]*\}", "", rule["expr"])), "it never ends"
    assert commands_in(rule["annotations"]["action"])


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in ALERTS]

    assert len(names) == len(set(names)) > 10


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
@pytest.mark.parametrize(
    "words", [("check", "rules", str(DOCS / "prometheus-alerts.yml")), ("test", "rules", str(DATA / "alerts.yml"))]
)
def test_prometheus_makes_of_the_rules_what_they_should(words: tuple[str, ...]) -> None:
    subprocess.run([str(shutil.which("promtool")), *words], check=True)


def test_panels_of_the_dashboard_have_their_own_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for one in expressions() for name, _ in _SELECTOR.findall(one)}
    families = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in shown}

    assert families == {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in exposed()}
