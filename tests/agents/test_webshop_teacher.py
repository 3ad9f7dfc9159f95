"""The scripted buyer: reads pages, chooses, checks, buys; noise, detours and verbosity do what they say."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from depo_lightning.agents.react import format_turn, parse_turn
from depo_lightning.agents.scripted import SCRIPTS, scripted_teacher
from depo_lightning.agents.teacher import ScriptedTeacher
from depo_lightning.agents.webshop_policy import Move, Why, best_move, missing_words, possible_moves, wasteful_moves
from depo_lightning.agents.webshop_teacher import WebShopTeacher
from depo_lightning.agents.webshop_text import Offer, Page, Situation, keywords, read_situation, read_wishes
from depo_lightning.agents.wording import is_verbose
from depo_lightning.envs import REGISTRY
from depo_lightning.errors import ConfigError

SURE = WebShopTeacher(noise=0, detour=0)
WISH = "i need a non-slip area rug for the dining room, in navy, size 4x6 feet, and price lower than 60.00 dollars"
HEAD = f"Instruction: [SEP] {WISH} [SEP] Back to Search"
INDEX = f"WebShop [SEP] Instruction: [SEP] {WISH} [SEP] Search"
PLAIN, FIT, DEAR = "B000000001", "B000000002", "B000000003"
RESULTS = (
    f"{HEAD} [SEP] Page 1 (Total results: 3) [SEP] Next > [SEP] {PLAIN} [SEP] Elnest Boho Area Rug [SEP] $20.0"
    f" [SEP] {FIT} [SEP] Vey Non Slip Area Rug [SEP] $30.5 to $44.0 [SEP] {DEAR} [SEP] Non Slip Dining Room Area Rug"
    " [SEP] $80.0"
)
SEARCH = "search[non-slip area rug dining room]"


def item(title: str = "Vey Non Slip Area Rug", colors: str = "grey [SEP] navy") -> str:
    return (
        f"{HEAD} [SEP] < Prev [SEP] color [SEP] {colors} [SEP] size [SEP] 3x5 feet [SEP] 4x6 feet [SEP] {title}"
        " [SEP] Price: $30.5 to $44.0 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    )


FEATURES = f"{HEAD} [SEP] < Prev [SEP] Dining room: made for it [SEP] Low pile design"
TO_ITEM = (INDEX, SEARCH, RESULTS, f"click[{FIT}]", item())
CHECKED = (*TO_ITEM, "click[features]", FEATURES, "click[< prev]", item())


def chat(*texts: str) -> list[dict[str, str]]:
    """Observations and actions in turn."""
    messages = [{"role": "system", "content": "s"}]
    for place, text in enumerate(texts):
        role, content = ("assistant", format_turn("so", text)) if place % 2 else ("user", text)
        messages.append({"role": role, "content": content})
    return messages


def read(*texts: str) -> Situation:
    return read_situation(chat(*texts))


def propose(messages: list[dict[str, str]], k: int = 1, seed: int = 0, teacher: WebShopTeacher = SURE) -> list[str]:
    return asyncio.run(teacher.propose(messages, k, seed))


def test_reading_the_wishes() -> None:
    wishes = read_wishes(WISH)
    assert wishes.ceiling == 60
    assert wishes.thing == "a non-slip area rug for the dining room"
    assert keywords(wishes.thing) == "non-slip area rug dining room"
    synthetic = read_wishes("Find me low pile area rug with easy clean with color: navy, and size: 4x6 feet")
    assert synthetic.thing == "low pile area rug with easy clean"
    assert synthetic.ceiling == float("inf")


def test_reading_results_and_item() -> None:
    results = read(*TO_ITEM[:3])
    assert results.page is Page.RESULTS
    assert results.offers[:2] == (Offer(PLAIN, "Elnest Boho Area Rug", 20), Offer(FIT, "Vey Non Slip Area Rug", 30.5))
    here = read(*TO_ITEM)
    assert (here.page, here.asin, here.opened) == (Page.ITEM, FIT, (FIT,))
    assert here.offered[FIT] == {"color": ("grey", "navy"), "size": ("3x5 feet", "4x6 feet")}
    assert missing_words(here, FIT) == ["dining", "room"]
    assert missing_words(read(*CHECKED), FIT) == []


def test_a_purchase_move_by_move() -> None:
    chosen = (*CHECKED, "click[navy]", item(), "click[4x6 feet]", item())
    expected = [
        ((INDEX,), SEARCH),
        (TO_ITEM[:3], f"click[{FIT}]"),  # the better title, and not above the ceiling
        (TO_ITEM, "click[features]"),  # the dining room is not in the title
        (CHECKED[:7], "click[< prev]"),
        (CHECKED, "click[navy]"),
        (chosen[:-2], "click[4x6 feet]"),
        (chosen, "click[buy now]"),
    ]
    for texts, action in expected:
        assert best_move(read(*texts)).action == action


def test_what_is_not_offered_sends_it_back() -> None:
    lacking = (*TO_ITEM[:4], item(colors="grey [SEP] rust"))
    other = (*lacking, "click[< prev]", RESULTS, f"click[{PLAIN}]", item("Elnest Boho Area Rug"))
    assert best_move(read(*lacking)).action == "click[features]"  # nothing says yet that navy is a color of rugs
    assert best_move(read(*other)).action == "click[navy]"  # the last of two looks
    assert best_move(read(*other, "click[< prev]", RESULTS)).action == f"click[{PLAIN}]"  # the other has no navy
    sized = INDEX.replace("size 4x6 feet", "size 8x10 feet"), *(t.replace("4x6", "8x10") for t in TO_ITEM[1:4])
    move = best_move(read(*sized, item().replace(WISH, WISH.replace("4x6", "8x10"))))
    assert (move.why, move.action, move.about) == (Why.REJECT, "click[< prev]", "size")


def test_moves_that_waste_a_turn_can_be_made() -> None:
    for texts in ((INDEX,), TO_ITEM[:3], TO_ITEM):
        situation = read(*texts)
        best = best_move(situation)
        wasteful = {move.action for move in wasteful_moves(situation, best)}
        assert wasteful
        assert best.action not in wasteful
    assert f"click[{DEAR}]" not in {move.action for move in wasteful_moves(read(*TO_ITEM[:3]), Move("", Why.BUY))}
    assert {"click[buy now]", "click[grey]", "click[3x5 feet]"} <= {m.action for m in possible_moves(read(*TO_ITEM))}


def test_an_unknown_page_is_answered_all_the_same() -> None:
    for text in ("", "What now?", "Instruction: [SEP] x [SEP] y"):
        assert parse_turn(propose(chat(text))[0]).action


def test_proposals_are_distinct_and_repeatable() -> None:
    teacher = WebShopTeacher()
    for seed in range(5):
        texts = propose(chat(*TO_ITEM), 3, seed, teacher)
        assert len(set(texts)) == len(texts) <= 3
        assert texts == propose(chat(*TO_ITEM), 3, seed, WebShopTeacher())


@pytest.mark.parametrize(("field", "share"), [("noise", 1.0), ("detour", 1.0)])
def test_noise_and_detours_leave_the_best_move(field: str, share: float) -> None:
    teacher = WebShopTeacher(**{"noise": 0, "detour": 0, field: share})
    best = best_move(read(*TO_ITEM)).action
    actions = Counter(parse_turn(propose(chat(*TO_ITEM), 1, seed, teacher)[0]).action for seed in range(60))
    assert len(actions) >= 2
    assert actions[best] <= 12  # a noisy move may be the best one by chance, a detour never
    assert field == "noise" or not actions[best]


def test_verbosity_is_seen_in_the_words() -> None:
    for verbosity in (0.0, 1.0):
        teacher = WebShopTeacher(noise=0, detour=0, verbosity=verbosity)
        for seed in range(10):
            thought = parse_turn(propose(chat(INDEX), 1, seed, teacher)[0]).thought
            assert is_verbose(thought) is bool(verbosity)


def test_every_environment_has_a_script() -> None:
    assert set(SCRIPTS) == set(REGISTRY) - {"mixture"}  # whose parts are played by theirs
    assert type(scripted_teacher("babyai", noise=0.1)) is ScriptedTeacher
    assert scripted_teacher("webshop", noise=0.1) == WebShopTeacher(noise=0.1)
    with pytest.raises(ConfigError, match="teacher=scripted"):
        scripted_teacher("atlantis")
