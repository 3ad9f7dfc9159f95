"""The figure of a run: success against tokens per episode, one mark per policy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from depo_lightning.evaluation import plotting
from depo_lightning.evaluation.plotting import Z95
from depo_lightning.evaluation.table import policy_label


def success_figure(results: Mapping[str, Any]) -> Figure:
    """Success rate against T@All with ±1.96 standard errors; policies without a measured episode are left out.

    Args:
        results: `{"policies": {name: entry}}`, entries as `policy_results` lays them out.
    """
    policies = results["policies"]
    figure, axes = plotting.new_figure("tokens per episode (T@All)", "success rate")
    looks = plotting.looks(list(policies))
    labels, bars = [], []
    for name, entry in policies.items():
        tokens, success = entry["metrics"]["tokens_all"], entry["metrics"]["success_rate"]
        x, y = tokens["mean"], success["mean"]
        if x is None or y is None:
            continue
        dx, dy = Z95 * (tokens["se"] or 0.0), Z95 * (success["se"] or 0.0)
        colour, marker, _ = looks[name]
        axes.errorbar(x, y, xerr=dx, yerr=dy, color=colour, marker=marker, markersize=6.5, elinewidth=1.2, capsize=0)
        labels.append((x, y, policy_label(name, entry), colour))
        bars += [(x - dx, x + dx, y, y), (x, x, y - dy, y + dy)]
    axes.margins(0.14)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    plotting.note(figure, _note(policies))
    plotting.label_points(axes, labels, bars)
    return figure


def write_success_figure(results: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write `success_figure` as PNG, atomically; returns the path.

    Raises:
        MachineError: the file cannot be written.
    """
    return plotting.save(success_figure(results), path)


def _note(policies: Mapping[str, Any]) -> str:
    sizes = sorted({entry["metrics"]["success_rate"]["n"] for entry in policies.values()})
    counts = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}" if sizes else "no"
    return f"bars: ± 1.96 standard errors over {counts} episodes; better is up and to the left"
