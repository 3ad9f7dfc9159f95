"""One tracked run that sums a sweep up: the table of its points, the Pareto plot, the front."""

from __future__ import annotations

from depo_lightning.sweeps.figures import html_figure
from depo_lightning.sweeps.report import Report
from depo_lightning.sweeps.table import table_rows
from depo_lightning.tracking import Tracker, run_group


def log_sweep_summary(
    report: Report, kind: str, project: str = "depo_lightning", entity: str | None = None, offline: bool = False
) -> None:
    """Log the sweep's table `points`, its plot `pareto`, front and hypervolume, in the group of its jobs.

    Call it after `write_report`, whose `pareto.png` it shows. `kind`, `project`, `entity` and `offline` as for
    `Tracker.start`; below the sweep's directory nothing but `summary/` is written.
    """
    group = run_group(report.directory)
    config = {"objectives": report.objectives, "keys": report.keys, "jobs": len(report.points)}
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
        tracker.table("points", *table_rows(report))
        tracker.plot("pareto", html_figure(report))
        tracker.image("pareto front", report.directory / "pareto.png")
        tracker.summarise({"hypervolume": report.hypervolume, "front_size": len(report.front)})
        for index in report.front:
            point = report.points[index]
            tracker.summarise({f"front/{point.job}/{name}": point.metrics[name].mean for name in report.objectives})
