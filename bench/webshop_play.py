"""How hard the generated shop is: rewards of play that knows nothing, little, much and all, on the test tasks.

* *random*: any action on offer, a search for three words of the instruction where there is a search bar, 20 turns.
* *first hit*: searches for the whole instruction, buys the first product found.
* *first hit and options*: also clicks every option that the instruction names.
* *scripted*: the teacher without noise and detours, which reads nothing but the pages, 20 turns.
* *oracle*: knows the product and options in mind.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from random import Random
from statistics import mean, stdev

from bench.settings import Settings
from bench.table import Row
from depo_lightning.agents.react import parse_turn
from depo_lightning.agents.webshop_teacher import WebShopTeacher
from depo_lightning.choices import Instructions
from depo_lightning.envs import Split
from depo_lightning.envs.webshop.env import WebShopEnv

TURNS = 20
_TASKS, _QUICK = 500, 40
Player = Callable[[WebShopEnv, int], float]


def measure(settings: Settings) -> list[Row]:
    """Mean reward of each player on each kind of instructions; the note tells success and standard errors."""
    players: dict[str, Player] = {
        "random": random_play,
        "first hit": lambda env, task: first_hit(env, task, options=False),
        "first hit and options": lambda env, task: first_hit(env, task, options=True),
        "scripted": scripted,
        "oracle": oracle,
    }
    rows = []
    for kind in Instructions:
        env = WebShopEnv(instructions=kind)
        tasks = env.tasks(Split.TEST, _QUICK if settings.quick else _TASKS)
        for name, play in players.items():
            rewards = [play(env, task) for task in tasks]
            solved = [float(reward == 1) for reward in rewards]
            note = (
                f"success {mean(solved):.3f} ± {_error(solved):.3f}; reward ± {_error(rewards):.3f}; n = {len(tasks)}"
            )
            rows.append(Row("webshop_play", f"{kind} instructions: {name}", "reward", [mean(rewards)], [], note=note))
    return rows


def random_play(env: WebShopEnv, task: int) -> float:
    rng = Random(f"play/{task}")
    words = env.reset(task).split(" [SEP] ")[2].split()
    for _ in range(TURNS):
        action = rng.choice(env.actions())
        result = env.step(f"search[{' '.join(rng.sample(words, 3))}]" if action.startswith("search") else action)
        if result.done:
            return result.reward
    return 0.0


def first_hit(env: WebShopEnv, task: int, options: bool) -> float:
    wish = env.reset(task).split(" [SEP] ")[2]
    env.step(f"search[{wish}]")
    products = [label for label in env.clickables if re.fullmatch("b0[0-9a-z]{8}", label)]
    if not products:
        return 0.0
    env.step(f"click[{products[0]}]")
    for label in env.clickables if options else ():
        if label not in ("description", "features", "reviews") and re.search(
            rf"(?<![\w-]){re.escape(label)}(?![\w-])", wish
        ):
            env.step(f"click[{label}]")
    return env.step("click[buy now]").reward


def scripted(env: WebShopEnv, task: int) -> float:
    teacher = WebShopTeacher(noise=0, detour=0)
    messages = [{"role": "user", "content": env.reset(task)}]
    for turn in range(TURNS):
        text = asyncio.run(teacher.propose(messages, 1, turn))[0]
        result = env.step(parse_turn(text).action)
        if result.done:
            return result.reward
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": result.observation}]
    return 0.0


def oracle(env: WebShopEnv, task: int) -> float:
    env.reset(task)
    goal = env.market.goals[task]
    env.step(f"search[{env.market.catalogue[goal.asin].name}]")
    while goal.asin.lower() not in env.clickables:
        if not env.step("click[next >]").valid:
            return 0.0
    env.step(f"click[{goal.asin}]")
    for option in goal.wish.options:
        env.step(f"click[{option if isinstance(option, str) else option[1]}]")
    return env.step("click[buy now]").reward


def _error(values: list[float]) -> float:
    return stdev(values) / len(values) ** 0.5
