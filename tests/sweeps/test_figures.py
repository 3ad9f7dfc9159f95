from __future__ import annotations

import re

import pytest

from depo_lightning.sweeps.analysis import differences_figure, noise_warning
from depo_lightning.sweeps.figures import html_figure, png_figure, write_pngs
from depo_lightning.sweeps.marks import FRONT
from depo_lightning.sweeps.page import write_html
from depo_lightning.sweeps.report import build_report

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


@pytest.fixture
def report(sweep):
    return build_report(sweep, None, OBJECTIVES)


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_marks_and_bars_are_the_points(report):
    found = traces(html_figure(report))
    assert set(found) == {"Pareto front", "dominated", "on the front", "BC", "filtered BC", "KTO"}
    assert list(found["on the front"].x) == [240, 230, 230]
    assert list(found["on the front"].y) == [0.74, 0.72, 0.72]
    assert list(found["dominated"].error_x.array) == pytest.approx([1.96 * 6])
    assert list(found["dominated"].error_y.array) == pytest.approx([1.96 * 0.025])
    assert found["BC"].x == (219,)


def test_hover_shows_the_whole_configuration(report):
    found = traces(html_figure(report))["on the front"].hovertext[0]
    assert "job 1" in found
    assert "alpha1 = 0<br>alpha2 = 3<br>thresholds = relative" in found
    assert "success_rate: 0.74 ± 0.025 (n = 300)" in found


@pytest.mark.parametrize(("direction", "shape"), [("minimize", "hv"), ("maximize", "vh")])
def test_the_front_is_a_staircase_of_what_was_reached(sweep, direction, shape):
    line = traces(html_figure(build_report(sweep, None, {"success_rate": "maximize", "tokens_all": direction})))
    assert line["Pareto front"].line.shape == shape
    assert list(line["Pareto front"].x) == sorted(line["Pareto front"].x)


def test_html_is_one_file_that_needs_no_network(report, tmp_path):
    html = write_html(report, tmp_path / "pareto.html").read_text()
    assert "Plotly.newPlot" in html
    assert len(html) > 1_000_000  # plotly.js is inside
    assert html.count("plotly.js v") == 1
    assert not re.findall(
        r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*.(?!data:)", html.split("plotly.js v")[0]
    )
    assert not re.findall(r"<script[^>]+src", html)
    assert write_html(report, tmp_path / "again.html").read_text() == html


def test_png_labels_the_front_and_the_baselines(report):
    texts = {text.get_text() for text in png_figure(report).axes[0].texts} - {""}
    assert texts == {"α1 = 0, α2 = 3", "α1 = 3, α2 = 0\nα1 = 3, α2 = 3", "BC", "filtered BC", "KTO"}
    assert "2 of 6 jobs have no results" in png_figure(report)._supxlabel.get_text()


def test_three_objectives_are_drawn_without_a_line(sweep):
    report = build_report(sweep, None, {**OBJECTIVES, "steps_all": "maximize"})
    assert report.front == [0, 1, 2, 3]
    assert "Pareto front" not in traces(html_figure(report))


def test_all_figures_are_drawn_for_any_sweep(sweep, seeds, tmp_path, job):
    job(tmp_path / "none", 0, ["alpha1=1"], None)
    for root in (sweep, seeds, tmp_path / "none"):
        written = write_pngs(build_report(root, None, OBJECTIVES), root)
        assert [path.name for path in written] == ["pareto.png", "differences.png", "hypervolume.png", "importance.png"]
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_the_forest_plot_shows_intervals_and_what_they_exclude(seeds):
    report = build_report(seeds, None, OBJECTIVES)
    found = report.differences[0].rows
    success, tokens = differences_figure(report).axes
    drawn = [line for line in tokens.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] == line.get_ydata()[1]]
    ends = [tuple(line.get_xdata()) for line in drawn]
    assert ends == [(row.contrasts["tokens_percent"].low, row.contrasts["tokens_percent"].high) for row in found]
    colours = [line.get_color() for line in drawn]
    assert [c == FRONT for c in colours] == [row.contrasts["tokens_percent"].resolved for row in found]
    assert [t.get_text() for t in success.get_yticklabels()] == ["α1 = 0", "α1 = 1", "α1 = 2"]


def test_importances_that_may_be_noise_are_said_to_be(tmp_path, played):
    for number in range(10):
        played(tmp_path, number, [f"alpha1={number}"])
    report = build_report(tmp_path, None, OBJECTIVES)
    assert report.importance
    assert "may the importances be noise" in noise_warning(report)
    played(tmp_path, 10, ["alpha1=10"], tokens=3)
    assert noise_warning(build_report(tmp_path, None, OBJECTIVES)) == ""
