"""The page in a real browser: it draws, tells what a mark stands for, sorts, and asks nobody for anything."""

from __future__ import annotations

import pytest
from tests.browser import browser_only, requests, wait_for

from depo_lightning.sweeps.page import html_page, write_html
from depo_lightning.sweeps.report import build_report, write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


@browser_only
def test_the_page_works_without_a_network(seeds, browser):
    write_report(seeds)
    browser.get(f"file://{seeds / 'pareto.html'}")
    drawn = "return ['pareto', 'differences0', 'differences1', 'hypervolume'].every("
    wait_for(browser, drawn + "id => document.querySelectorAll(`#${id} .scatterlayer .point`).length > 0)")

    report = build_report(seeds, None, OBJECTIVES)
    point = report.points[report.front[0]]
    mark = browser.execute_script(
        "const plot = document.getElementById('pareto');"
        "const trace = plot._fullData.findIndex(t => t.name === 'on the front');"
        "const [x, y] = [plot._fullData[trace].x[0], plot._fullData[trace].y[0]];"
        "const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();"
        "return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)].map(Math.round);"
    )
    webdriver.ActionChains(browser).move_by_offset(*mark).perform()
    shown = wait_for(browser, "return document.querySelector('#pareto .hoverlayer')?.textContent")
    for key, value in point.overrides.items():
        assert f"{key} = {value}" in shown
    assert f"jobs {point.job}" in shown
    for name in ("success_rate", "tokens_all", "steps_all", "invalid_action_rate"):
        assert f"{name}: {point.metrics[name].mean:.4g}" in shown

    buttons = "return [...document.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)"
    offered = set(browser.execute_script(buttons))
    assert "Download plot" in offered
    assert not any("Share" in title or "loud" in title for title in offered)  # nothing sends the data away

    asked = requests(browser)
    assert any(url.endswith("pareto.html") for url in asked)  # the log does tell what is asked for
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@browser_only
def test_tables_sort_by_the_column_that_is_clicked(seeds, browser):
    write_html(build_report(seeds, None, OBJECTIVES), seeds / "pareto.html")
    browser.get(f"file://{seeds / 'pareto.html'}")
    column = "return [...document.querySelectorAll('#configurations tbody tr')].map(row => row.cells[1].textContent)"
    click = "document.querySelectorAll('#configurations th')[1].click();"
    assert browser.execute_script(click + column) == ["0", "1", "2", "–"]
    assert browser.execute_script(click + column) == ["2", "1", "0", "–"]


@browser_only
def test_the_page_of_a_failed_sweep_has_no_errors(tmp_path, job, browser):
    job(tmp_path, 0, ["alpha1=1"], None)
    write_html(build_report(tmp_path, None, OBJECTIVES), tmp_path / "pareto.html")
    browser.get(f"file://{tmp_path / 'pareto.html'}")
    assert "No job of this sweep has results" in browser.find_element("tag name", "body").text
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_what_a_user_wrote_is_text_and_never_markup(tmp_path, played, job):
    played(tmp_path, 0, ["env.name='<b>a</b></script><script>alert(1)</script>'"])
    failed = job(tmp_path, 1, ["env.name=c"], None)
    (failed / "error.txt").write_text("data error:\n  - <img src=x onerror=alert(2)>\n")
    page = html_page(build_report(tmp_path, None, OBJECTIVES))
    own = page.replace(page[page.index("<script>/**") : page.index("</script>\n</head>")], "")
    assert "<script>alert" not in own
    assert "<img" not in own
    assert "&lt;img src=x" in own
