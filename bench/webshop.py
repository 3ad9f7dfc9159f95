"""WebShop under random play on 1 000 generated products: steps per second of one core, and memory.

Each repetition is a process of its own; searches, which every fifth action or so is, and purchases are included, and
so is tagging the titles bought, a figure of its own because it happens once per title. The clock is the process's own
(CPU seconds), the memory what the process holds more at its peak than before the catalogue was opened.
"""

from __future__ import annotations

import random
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from bench.table import Row

PRODUCTS = 1000
ACTIONS = 12  # per task at most


def measure(settings: Any) -> list[Row]:
    """Play `settings.repetitions` times, each in a fresh process."""
    steps = 5_000 if settings.quick else 50_000
    found = []
    for repetition in range(settings.repetitions):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(play, repetition, steps).result())
    rows = [
        Row("webshop", f"{PRODUCTS} products, random play: {what}", unit, [one[name] for one in found], [], note=note)
        for what, unit, name, note in (
            ("steps", "steps/s", "steps", "asked for: 2 000"),
            ("steps, with loading the tagger and tagging", "steps/s", "tagging", f"{steps} steps"),
        )
    ]
    rows += [
        Row("webshop", what, unit, [one[name] for one in found], [], higher_is_better=False, note=note)
        for what, unit, name, note in (
            (f"{PRODUCTS} products: generate and index", "s", "open", "CPU seconds, once per process"),
            (f"{PRODUCTS} products: memory of catalogue, index and goals", "MiB", "market_mib", ""),
            ("memory of spaCy and its model", "MiB", "tagger_mib", "from the first purchase on"),
        )
    ]
    return rows


def play(seed: int, steps: int) -> dict[str, float]:
    """Random play twice over the same tasks: the first time titles are tagged on the way."""
    from depo_lightning.envs.webshop import WebShopEnv

    env = WebShopEnv(products=PRODUCTS)
    before, started = _peak_mib(), time.process_time()
    env.reset(0)
    result = {"open": time.process_time() - started, "market_mib": _peak_mib() - before}
    before = _peak_mib()
    result["tagging"] = steps / _play(env, seed, steps)
    result["tagger_mib"] = _peak_mib() - before
    result["steps"] = steps / _play(env, seed, steps)
    return result


def _play(env: Any, seed: int, steps: int) -> float:
    rng, played, spent = random.Random(seed), 0, 0.0
    while played < steps:
        task = rng.randrange(len(env.market.goals))
        env.reset(task)
        for _ in range(ACTIONS):
            action = rng.choice(env.actions())
            if action.startswith("search"):
                action = f"search[{env.market.goals[task].text}]"
            started = time.process_time()
            done = env.step(action).done
            spent += time.process_time() - started
            played += 1
            if done:
                break
    return spent


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
