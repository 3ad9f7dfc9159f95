"""One tracked run that sums a sweep up: the table of its points, its figures, the front and the hypervolume."""

from __future__ import annotations

from typing import Any

from depo_lightning.evaluation.metrics import number
from depo_lightning.sweeps.figures import html_figure
from depo_lightning.sweeps.report import Report
from depo_lightning.sweeps.table import table_rows
from depo_lightning.sweeps.workspace import CURVES, FIGURES, figures, save_workspace_view
from depo_lightning.tracking import Tracker, run_group
from depo_lightning.tracking_link import local_name, read_link


def log_sweep_summary(
    report: Report, kind: str, project: str = "depo_lightning", entity: str | None = None, offline: bool = False
) -> None:
    """Log the sweep in the group of its jobs, and where W&B is online save a view of it (`workspace`).

    The run holds the tables `points`, `jobs` and `importance`, the plot `pareto`, the images `figures/…`, the curve
    `sweep/hypervolume` over the job number, and in its summary the front, each point under `front/<job>/`.

    Call it after `write_report`, whose images it shows. `kind`, `project`, `entity` and `offline` as for
    `Tracker.start`; below the sweep's directory nothing but `summary/` is written.
    """
    group = run_group(report.directory)
    job = {"directory": local_name(report.directory)}
    config = {"objectives": report.objectives, "keys": report.keys, "jobs": len(report.jobs), "job": job}
    with Tracker.start(
        str(kind),
        report.directory / "summary",
        project=project,
        entity=entity,
        group=group,
        name=f"{group}-summary",
        job_type="sweep-summary",
        config=config,
        offline=offline,
    ) as tracker:
        _log_tables(report, tracker)
        _log_figures(report, tracker)
        tracker.summarise({"hypervolume": report.hypervolume, "front_size": len(report.front)})
        for index in report.front:
            point = report.points[index]
            tracker.summarise({f"front/{point.job}/{name}": point.metrics[name].mean for name in report.objectives})
        link = tracker.link
    if link.get("url"):
        save_workspace_view(report, link["project"], link["entity"], group)


def _log_tables(report: Report, tracker: Tracker) -> None:
    """The configurations; the jobs, each with its trial, directory and tracked run; the parameters' importance."""
    tracker.table("points", *table_rows(report))
    jobs: list[list[Any]] = []
    for job in report.jobs:
        link, trial = read_link(job.directory), job.trial.number if job.trial else None
        jobs.append([job.job, trial, str(job.status), job.directory.name, link.get("run_id"), link.get("url")])
    tracker.table("jobs", ["job", "trial", "status", "directory", "run", "url"], jobs)
    importance = [
        [objective, parameter, number(share)]
        for objective, shares in report.importance.items()
        for parameter, share in shares.items()
    ]
    if importance:
        tracker.table("importance", ["objective", "parameter", "importance"], importance)


def _log_figures(report: Report, tracker: Tracker) -> None:
    """Plot and images; the hypervolume's curve, a value as each configuration's first job came in."""
    tracker.plot("pareto", html_figure(report))
    for path in figures(report):
        tracker.image(f"{FIGURES}/{path.stem}", path)
    for point, volume in zip(report.points, report.hypervolume_history, strict=True):
        tracker.log({"hypervolume": volume}, point.job, CURVES)
