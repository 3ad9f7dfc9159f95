"""A view of a sweep in the W&B app: the Pareto panel, parallel coordinates and the run table, ready to look at.

Needs the package `wandb-workspaces` (`pip install 'depo-lightning[workspaces]'`) and a W&B that is online.
"""

from __future__ import annotations

import dataclasses
import re
import typing
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depo_lightning.config import Config
from depo_lightning.pareto import Direction
from depo_lightning.sweeps.report import Report

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

CURVES, FIGURES = "sweep", "figures"  # what the summary run calls its curves and its images


def save_workspace_view(report: Report, project: str, entity: str, group: str) -> str | None:
    """Save `workspace_view` as a new view of the project.

    Returns:
        Its address; None, with one warning, where the package or the service fails: the runs are not affected.
    """
    try:
        return workspace_view(report, project, entity, group).save().url
    except ImportError as error:
        why = f"{error}; pip install 'depo-lightning[workspaces]'"
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    warnings.warn(f"no view of the sweep was made in W&B, its runs are complete: {why}", stacklevel=2)
    return None


def workspace_view(report: Report, project: str, entity: str, group: str) -> Workspace:
    """The view, not yet saved: of the runs in `group`, the sweep's jobs and its summary run.

    Raises:
        ImportError: `wandb-workspaces` is not installed.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as ws

    class View(ws.Workspace):
        """Groups the run table only: a panel that followed would show the whole sweep as one point, its mean."""

        def _to_model(self) -> Any:
            model = super()._to_model()
            section: Any = model.spec.section
            for settings in (section.settings, *(s.local_panel_settings for s in section.panel_bank_config.sections)):
                settings.use_runs_table_grouping_in_panels = False
            return model

    metrics = {name: f"{_prefix(report)}{name}" for name in report.objectives}
    x, y, best = _axes(report)
    front = panels.ScatterPlot(
        title=f"Pareto front: {y} against {x}",
        x=panels.SummaryMetric(metrics[x]),
        y=panels.SummaryMetric(metrics[y]),
        running_ymax=True if best == Direction.MAXIMIZE else None,
        running_ymin=True if best == Direction.MINIMIZE else None,
    )
    columns = [
        *(panels.ParallelCoordinatesPlotColumn(panels.Config(_config_name(key)), key) for key in report.keys),
        *(panels.ParallelCoordinatesPlotColumn(panels.SummaryMetric(metrics[name]), name) for name in metrics),
    ]
    parallel = panels.ParallelCoordinatesPlot(columns=columns)
    volume = panels.LinePlot(title="hypervolume", x=f"{CURVES}/step", y=[f"{CURVES}/hypervolume"], title_x="job")
    images = panels.MediaBrowser(title="figures", media_keys=[f"{FIGURES}/{path.stem}" for path in figures(report)])
    first, direction = next(iter(report.objectives.items()))
    layout = ws.SectionLayoutSettings(columns=2, rows=1)
    return View(
        entity=entity,
        project=project,
        name=re.sub(r"[^\w .-]", "-", f"sweep {group}"),  # other signs are refused as emojis
        sections=[
            ws.Section("Pareto front", [front, parallel], is_open=True, layout_settings=layout),
            ws.Section("Summary of the sweep", [volume, images], is_open=True, layout_settings=layout),
        ],
        settings=ws.WorkspaceSettings(max_runs=len(report.jobs) + 1),
        runset_settings=ws.RunsetSettings(
            filters=f"Metric('Group') == {_quoted(group)}",
            groupby=[ws.Metric("Group")],
            order=[ws.Ordering(ws.Summary(metrics[first]), ascending=direction == Direction.MINIMIZE)],
            pinned_columns=[f"summary:{name}" for name in metrics.values()],
        ),
    )


def figures(report: Report) -> list[Path]:
    """The images that the report has left in the sweep's directory."""
    names = ("pareto", "hypervolume", "importance", "differences")
    return [path for name in names if (path := report.directory / f"{name}.png").is_file()]


def _prefix(report: Report) -> str:
    """`depo/` where all points show the same policy; else nothing, which in a run's summary is its main policy."""
    policies = {point.policy for point in report.points if point.policy}
    return f"{policies.pop()}/" if len(policies) == 1 else ""


def _axes(report: Report) -> tuple[str, str, str | None]:
    """The first two objectives as x and y, and the direction in which y is best, for the line that joins the front.

    The line is the best y so far, going right: a front only if a small x is good. So a minimised objective lies on
    the x axis; where both are maximised there is no line.
    """
    y, x = list(report.objectives)[:2]
    if report.objectives[x] == Direction.MAXIMIZE:
        x, y = y, x
    return x, y, None if report.objectives[x] == Direction.MAXIMIZE else report.objectives[y]


def _quoted(text: str) -> str:
    """A literal for a filter, which is parsed as Python once its operators are replaced, also inside of quotes."""
    return "'" + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in text) + "'"


def _config_name(key: str) -> str:
    """Where a run's configuration holds what a sweep varied: a group's choice stands among those of the job."""
    groups = {name for name, kind in typing.get_type_hints(Config).items() if dataclasses.is_dataclass(kind)}
    return f"job.choices.{key}" if key in groups else key
