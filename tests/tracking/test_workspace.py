"""The view of a sweep in the W&B app: its panels, and the request that saves it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from depo_lightning.sweeps.report import OBJECTIVES, Report, build_report
from depo_lightning.sweeps.workspace import save_workspace_view, workspace_view

KEY = "k" * 40


@pytest.fixture
def report(sweep):
    return build_report(sweep, None, OBJECTIVES)


def spec(report: Report, group: str = "multirun-grid") -> dict[str, Any]:
    pytest.importorskip("wandb_workspaces")
    section = json.loads(workspace_view(report, "p", "me", group)._to_model().spec.model_dump_json(by_alias=True))
    return section["section"]


def panel(report: Report, kind: str) -> dict[str, Any]:
    panels = [p for section in spec(report)["panelBankConfig"]["sections"] for p in section["panels"]]
    (found,) = [p["config"] for p in panels if p["viewType"] == kind]
    return found


def test_the_front_is_a_scatter_of_the_objectives_with_the_best_so_far(report):
    scatter = panel(report, "Scatter Plot")
    assert (scatter["xAxis"], scatter["yAxis"]) == ("summary:depo/tokens_all", "summary:depo/success_rate")
    assert (scatter["showMaxYAxisLine"], scatter["showMinYAxisLine"]) == (True, None)


@pytest.mark.parametrize(
    ("objectives", "x", "y", "line"),
    [
        ({"success_rate": "maximize", "tokens_all": "minimize"}, "tokens_all", "success_rate", "showMaxYAxisLine"),
        ({"tokens_all": "minimize", "success_rate": "maximize"}, "tokens_all", "success_rate", "showMaxYAxisLine"),
        ({"tokens_all": "minimize", "steps_all": "minimize"}, "steps_all", "tokens_all", "showMinYAxisLine"),
        ({"success_rate": "maximize", "mean_reward": "maximize"}, "success_rate", "mean_reward", None),
    ],
)
def test_the_line_is_the_front_whatever_the_directions(report, objectives, x, y, line):
    scatter = panel(replace(report, objectives=objectives), "Scatter Plot")
    assert (scatter["xAxis"], scatter["yAxis"]) == (f"summary:depo/{x}", f"summary:depo/{y}")
    assert [name for name in ("showMinYAxisLine", "showMaxYAxisLine") if scatter[name]] == ([line] if line else [])


def test_different_main_policies_share_the_axes(report):
    points = [*report.points[:2], replace(report.points[2], policy="kto"), report.points[3]]
    assert panel(replace(report, points=points), "Scatter Plot")["yAxis"] == "summary:success_rate"


def test_parallel_coordinates_run_over_what_was_swept_and_the_objectives(report):
    columns = panel(replace(report, keys=["alpha1", "depo.beta", "thresholds"]), "Parallel Coordinates Plot")["columns"]
    assert [(column["displayName"], column["accessor"]) for column in columns] == [
        ("alpha1", "config:alpha1.value"),
        ("depo.beta", "config:depo.value.beta"),
        ("thresholds", "config:job.value.choices.thresholds"),  # the group itself is many fields
        ("success_rate", "summary:depo/success_rate"),
        ("tokens_all", "summary:depo/tokens_all"),
    ]


def test_the_summary_run_is_shown_beside(report):
    (report.directory / "pareto.png").touch()
    assert panel(report, "Media Browser")["mediaKeys"] == ["figures/pareto"]
    line = panel(report, "Run History Line Plot")
    assert (line["xAxis"], line["metrics"]) == ("sweep/step", ["sweep/hypervolume"])


@pytest.mark.parametrize("group", ["multirun-grid", "it's-lr=1,wd>0.1", 'a"b\\c-ü'])
def test_the_run_table_holds_the_group_and_the_panels_its_single_runs(report, group):
    section = spec(report, group)
    (runs,) = section["runSets"]
    (condition,) = runs["filters"]["filters"]
    assert (condition["key"], condition["op"]) == ({"section": "run", "name": "group"}, "=")
    assert condition["value"] == group
    assert runs["grouping"] == [{"section": "run", "name": "group"}]
    (order,) = runs["sort"]["keys"]
    assert (order["key"]["name"], order["ascending"]) == ("depo/success_rate", False)
    settings = [section["settings"], *(s["localPanelSettings"] for s in section["panelBankConfig"]["sections"])]
    assert not any(each["useRunsTableGroupingInPanels"] for each in settings)


def test_without_the_package_a_warning_names_it(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.warns(UserWarning, match=r"pip install 'depo-lightning\[workspaces\]'"):
        assert save_workspace_view(report, "p", "me", "g") is None


def test_a_failing_service_is_a_warning(report, monkeypatch):
    workspaces = pytest.importorskip("wandb_workspaces.workspaces")
    monkeypatch.setattr(workspaces.Workspace, "save", lambda _: 1 / 0)
    with pytest.warns(UserWarning, match="its runs are complete: ZeroDivisionError"):
        assert save_workspace_view(report, "p", "me", "g") is None


class Service(BaseHTTPRequestHandler):
    """As much of W&B's server as saving a view asks for."""

    asked: list[tuple[dict[str, Any], str | None]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            request = json.loads(body)
            self.asked.append((request, self.headers.get("Authorization")))
            if "upsertView" in request["query"]:
                view = {"id": "VmlldzoxMjM=", "name": request["variables"]["name"]}
                answer = {"upsertView": {"view": view, "inserted": True}}
            else:
                answer = {
                    "viewer": {"id": "1", "username": "me", "entity": "me", "teams": {"edges": []}, "flags": "{}"}
                }
        text = json.dumps({"data": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def service() -> Iterator[tuple[str, list[Any]]]:
    handler = type("Handler", (Service,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


SAVE = """
import sys
from depo_lightning.sweeps.report import OBJECTIVES, build_report
from depo_lightning.sweeps.workspace import save_workspace_view
print(save_workspace_view(build_report(sys.argv[1], None, OBJECTIVES), "p", "me", "multirun-grid"))
"""


def test_the_view_reaches_the_service(sweep, service):
    pytest.importorskip("wandb_workspaces")
    address, asked = service
    # A process of its own: W&B reads its environment once.
    environment = {**os.environ, "WANDB_BASE_URL": address, "WANDB_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", SAVE, str(sweep)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (sent,) = [(request, who) for request, who in asked if "upsertView" in request["query"]]
    variables, who = sent[0]["variables"], sent[1]
    assert who == "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
    assert (variables["entityName"], variables["projectName"], variables["type"]) == ("me", "p", "project-view")
    assert variables["displayName"] == "sweep multirun-grid"
    panels = json.loads(variables["spec"])["section"]["panelBankConfig"]["sections"][0]["panels"]
    assert panels[0]["config"]["showMaxYAxisLine"] is True
    assert done.stdout.strip().startswith(f"{address}/me/p?nw=")
