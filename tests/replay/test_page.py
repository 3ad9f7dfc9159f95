"""The page in a real browser, with episodes of both environments: it draws, steps, filters, and trusts no text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.browser import browser_only, requests

from depo_lightning.envs.babyai import BabyAIEnv
from depo_lightning.replay.episodes import page_row
from depo_lightning.replay.page import page, write_page
from depo_lightning.rollouts.episode import Episode
from depo_lightning.trajectory import Status, Step, Trajectory

pytest.importorskip("selenium", reason="selenium is not installed")
EVIL = "</script><img src=x onerror=\"document.title='broken in'\"><b>&amp;"
GOAL = "Instruction: [SEP] Find me herbal tea, price lower than 50.00 dollars [SEP] "
ITEM = (
    GOAL + "Back to Search [SEP] < Prev [SEP] flavor [SEP] lemon [SEP] mint [SEP] size [SEP] 20 count [SEP] "
    "Loose Herbal Tea [SEP] Price: $9.0 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Buy Now"
)
SHOPPING = (
    ("WebShop [SEP] " + GOAL + "Search", "search[herbal tea]"),
    (
        GOAL + "Back to Search [SEP] Page 1 (Total results: 50) [SEP] Next > [SEP] B0ZRUBQTBI [SEP] Loose Herbal Tea "
        "[SEP] $9.0 [SEP] B0C14X1K5C [SEP] Rich Tea of Many Leaves [SEP] $11.0",
        "click[b0zrubqtbi]",
    ),
    (ITEM, "click[lemon]"),
    (ITEM, "click[mint]"),
    (ITEM, "click[buy now]"),
)


def trajectory(policy: str, env: str, turns: tuple[tuple[str, str], ...], **changes: Any) -> Trajectory:
    steps = tuple(Step(seen, "I think.", action, f"Action: {action}", 7) for seen, action in turns)
    known: dict[str, Any] = {"reward": 0.75, "success": False, "extra": {"policy": policy}} | changes
    return Trajectory(f"{policy}/{env}-1", env, 1, 0, "", steps, **known)


def babyai(policy: str, actions: tuple[str, ...]) -> Trajectory:
    episode = Episode(BabyAIEnv(), task=1, seed=0, max_steps=9)
    for action in actions:
        if episode.status is None:
            episode.play(f"Thought:\nGo.\n\nAction:\n{action}", 12)
    if episode.status is None:
        episode.truncate("max_steps")
    played = episode.trajectory()
    played.extra["policy"] = policy
    return Trajectory(**{name: getattr(played, name) for name in played.__slots__} | {"id": f"{policy}/{played.id}"})


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    def show(*episodes: Trajectory) -> Any:
        env = BabyAIEnv()
        write_page([page_row(episode, env) for episode in episodes], "test", tmp_path / "replay.html")
        browser.get(f"file://{tmp_path / 'replay.html'}")
        return browser

    return show


def text(browser: Any, where: str) -> str:
    return browser.execute_script(f"return document.querySelector({where!r}).innerText")


def count(browser: Any, where: str) -> int:
    return browser.execute_script(f"return document.querySelectorAll({where!r}).length")


def press(browser: Any, key: str) -> None:
    event = f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}})"
    browser.execute_script(f"document.body.dispatchEvent({event})")


@browser_only
def test_a_grid_is_drawn_for_every_turn_and_keys_step(opened: Callable[..., Any]) -> None:
    episode = babyai("bc", ("turn left", "fly", "turn right"))
    browser = opened(episode, babyai("depo", ("turn right",)))
    assert count(browser, "svg.grid") == 1
    label = "return document.querySelector('svg.grid').getAttribute('aria-label')"
    before = browser.execute_script(label)
    assert count(browser, ".strip button") == 4
    assert count(browser, ".strip button.invalid") == 1
    assert "turn left" in text(browser, "dd.action")
    press(browser, "ArrowRight")
    assert browser.execute_script(label) != before  # it has turned
    assert "fly" in text(browser, "dd.action")
    assert "refused" in text(browser, ".badges")
    press(browser, "End")
    assert "cut off (max_steps)" in text(browser, ".said")
    assert browser.execute_script(label) == before  # and back
    assert "Available actions" in text(browser, "pre")  # the observation that the record lacks
    press(browser, "ArrowDown")
    assert "depo" in text(browser, ".pane h2")
    assert not requests(browser)[1:]  # the page itself, and nothing else
    assert browser.get_log("browser") == []


@browser_only
def test_two_policies_side_by_side_and_filters(opened: Callable[..., Any]) -> None:
    crashed = trajectory("kto", "babyai", (), status=Status.CRASHED, error="ValueError: no such door")
    browser = opened(babyai("bc", ("turn left",) * 3), babyai("depo", ("turn right",)), crashed)
    browser.execute_script("find('beside').value = 'depo'; find('beside').dispatchEvent(new Event('change'))")
    assert count(browser, ".pane") == 2
    assert count(browser, "svg.grid") == 2
    browser.execute_script("find('outcome').value = 'crashed'; find('outcome').dispatchEvent(new Event('change'))")
    assert text(browser, "#count").startswith("1 of 3 episodes")
    assert "ValueError: no such door" in text(browser, ".pane")
    browser.execute_script("find('find').value = 'nowhere'; find('find').dispatchEvent(new Event('input'))")
    assert "No episode is left" in text(browser, "#panes")
    assert browser.get_log("browser") == []


@browser_only
def test_a_shop_is_drawn_from_the_observations(opened: Callable[..., Any]) -> None:
    browser = opened(trajectory("bc", "webshop", SHOPPING))
    assert text(browser, ".search.clicked") == "herbal tea"
    assert "Find me herbal tea" in text(browser, ".wish")
    press(browser, "ArrowRight")
    assert count(browser, ".item") == 2
    assert text(browser, ".item.clicked").split("\n")[1:] == ["Loose Herbal Tea", "B0ZRUBQTBI", "$9.0"]
    press(browser, "ArrowRight")
    press(browser, "ArrowRight")
    assert text(browser, ".chip.picked") == "lemon"  # chosen a turn ago
    assert text(browser, ".shop h3") == "Loose Herbal Tea"
    assert [text(browser, where) for where in (".group", ".chip.clicked", ".price")] == [
        "flavor",
        "mint",
        "Price: $9.0",
    ]
    press(browser, "ArrowRight")
    assert text(browser, ".chip.picked") == "mint"  # instead of lemon
    assert count(browser, ".chip.picked") == 1
    assert text(browser, ".buy.clicked") == "Buy Now"
    assert "reward 0.750" in text(browser, ".badges")
    assert browser.get_log("browser") == []


@browser_only
def test_what_agents_and_environments_write_is_text(opened: Callable[..., Any]) -> None:
    shop = f"{GOAL}Back to Search [SEP] Page 1 (Total results: 1) [SEP] Next > [SEP] B0ZRUBQTBI [SEP] {EVIL} [SEP] $1"
    turns = ((EVIL, EVIL), (shop, f"click[{EVIL}]"))
    browser = opened(trajectory(EVIL, EVIL, turns, level=EVIL, error=EVIL))
    for key in ("ArrowRight", "End"):
        assert EVIL in text(browser, ".pane h2")
        assert count(browser, "img, .pane b b") == 0
        press(browser, key)
    assert browser.title == "Episodes of test"
    assert browser.get_log("browser") == []


def test_no_text_can_end_the_script() -> None:
    written = page([page_row(trajectory("bc", "x", ((EVIL, EVIL),)), None)], EVIL)
    assert written.count("</script>") == 2  # the page's own
    assert "<img" not in written
