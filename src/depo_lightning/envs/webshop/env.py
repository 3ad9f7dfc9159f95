"""`WebShopEnv`: AgentGym's text protocol for WebShop, in process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from depo_lightning.choices import Instructions
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.envs.webshop import pages
from depo_lightning.envs.webshop.goals import Goal, kind_of
from depo_lightning.envs.webshop.market import Market, Source, faults, open_market
from depo_lightning.envs.webshop.nouns import DEFAULT_TAGGER
from depo_lightning.envs.webshop.prompt import PHRASES, SYSTEM_PROMPT
from depo_lightning.envs.webshop.reward import Offer, worth
from depo_lightning.envs.webshop.search import RESULTS
from depo_lightning.envs.webshop.state import SEARCH, Place, State, follow, parse, results
from depo_lightning.errors import ConfigError

_NOT_RUNNING = "no episode is running; call reset first"
_TEST, _VALIDATION = 500, 1500  # the public split ends: goals before 500 are for testing, before 1500 for validation


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of one episode; valid in any `WebShopEnv` of the same settings."""

    task: int
    state: State
    reward: float


class WebShopEnv(TextEnv):
    """WebShop as text.

    Task i is goal i after the reference's shuffle. The reward is 0 until the purchase, which ends the episode;
    success is a reward of 1. Searching works on every page, as in the reference, and shows 50 products at most.

    Catalogue, index and goals are built at the first reset, once per process for all environments of equal settings;
    of a data folder, once for all processes.
    """

    name: ClassVar[str] = "webshop"
    system_prompt: ClassVar[str] = SYSTEM_PROMPT
    phrases: ClassVar[tuple[str, ...]] = PHRASES
    last_action: ClassVar[bool] = True

    _goal: Goal
    _labels: dict[str, str | None]

    def __init__(
        self,
        data: str | None = None,
        products: int | None = 1000,
        instructions: str = Instructions.synthetic,
        tagger: str = DEFAULT_TAGGER,
        attributes_button: bool = False,
        index: str | None = None,
        catalogue_seed: int = 0,
    ) -> None:
        """Choose catalogue and goals; nothing is read yet.

        Args:
            data: folder with WebShop's data files; None for a generated catalogue.
            products: how many of the catalogue's products, the first ones; None for all of `data`.
            instructions: "synthetic" (AgentGym's) or "human".
            tagger: name or folder of the spaCy model that finds the nouns of titles.
            attributes_button: items have a page of attributes too.
            index: folder that keeps what is built from `data`; None for `index` inside it.
            catalogue_seed: seed of the generated catalogue.

        Raises:
            ConfigError: missing files or packages, unknown choices; all faults at once.
        """
        if instructions not in list(Instructions):
            raise ConfigError(
                f"env.instructions={instructions!r}: no such goals; choose one of {[str(i) for i in Instructions]}"
            )
        self._source = Source(data, products, Instructions(instructions), tagger, index, catalogue_seed)
        found = list(faults(self._source))
        if found:
            raise ConfigError(found)
        self._with_attributes = attributes_button
        self._task: int | None = None
        self._state = State()
        self._reward = 0.0

    @property
    def market(self) -> Market:
        """Catalogue, search, goals and tagger."""
        return open_market(self._source)

    def reset(self, task: int) -> str:
        """Start task `task` and return the search page.

        Raises:
            ConfigError: no such goal.
            DataError: the data files cannot be read.
        """
        goals = self.market.goals
        if not 0 <= task < len(goals):
            raise ConfigError(f"task={task}: the catalogue has goals 0 to {len(goals) - 1}")
        self._task, self._goal = int(task), goals[int(task)]
        self._state, self._reward = State(), 0.0
        return self._show()

    def step(self, action: str) -> StepResult:
        """Play one action: `search[keywords]`, or `click[value]` with a value from the page, in any case.

        Anything else is not valid: it changes nothing and shows the page again.

        Raises:
            RuntimeError: before `reset`, or after the purchase.
        """
        if self._task is None or self._state.place is Place.done:
            raise RuntimeError(_NOT_RUNNING)
        parsed = parse(action.strip())
        valid = True
        if parsed is None:
            valid = False
        elif parsed[0] == "search":
            hits = self.market.searcher.search(parsed[1], RESULTS)
            self._state = results(parsed[1], tuple(hits))
        elif parsed[0] == "click" and parsed[1] in self._labels and parsed[1] != SEARCH:
            self._state = follow(self._state, parsed[1], self._labels[parsed[1]])
        else:
            valid = False
        done = self._state.place is Place.done
        if done:
            self._reward = self._worth()
        return StepResult(self._show(), self._reward, done, valid, success=done and self._reward == 1.0)

    def actions(self) -> list[str]:
        """Clicks that are possible now, in the page's order; `search[keywords]` stands for every search.

        It is listed where the page has a search bar, though searching is possible everywhere.
        """
        self._check_running()
        return [f"click[{label}]" if label != SEARCH else "search[keywords]" for label in self._labels]

    @property
    def clickables(self) -> list[str]:
        """Labels that can be clicked, as the reference's `available_actions` lists them."""
        self._check_running()
        return list(self._labels)

    def snapshot(self) -> Mark:
        """The exact state of the episode; picklable, untouched by later steps."""
        self._check_running()
        assert self._task is not None
        return Mark(self._task, self._state, self._reward)

    def restore(self, mark: Mark) -> None:
        """Go back to `mark`."""
        if mark.task != self._task:
            self._task, self._goal = mark.task, self.market.goals[mark.task]
        self._state, self._reward = mark.state, mark.reward
        self._look()

    def tasks(self, split: Split, count: int) -> list[int]:
        """The first `count` goals of a split.

        As in WebShop's paper, goals 0 to 499 are for testing, up to 1 499 for validation, the others for training; of
        fewer than 3 000 goals, the first sixth, up to the half, and the rest.

        Raises:
            ConfigError: the split has fewer.
        """
        total = len(self.market.goals)
        test, validation = min(_TEST, total // 6), min(_VALIDATION, total // 2)
        start, end = {
            Split.TEST: (0, test),
            Split.VALIDATION: (test, validation),
            Split.TRAIN: (validation, total),
        }[Split(split)]
        if count > end - start:
            raise ConfigError(
                f"{count} tasks of split {str(split)!r}: the catalogue's {total} goals leave it {end - start}; "
                "ask for fewer, or raise env.products"
            )
        return list(range(start, start + count))

    def level(self, task: int) -> str:
        """How much a goal asks for, for example "2 attributes, 1 options"."""
        wish = self.market.goals[task].wish
        return f"{len(wish.attributes)} attributes, {len(wish.options)} options"

    def _check_running(self) -> None:
        if self._task is None:
            raise RuntimeError(_NOT_RUNNING)

    def _worth(self) -> float:
        product = self.market.catalogue[self._state.asin]
        offer = Offer(kind_of(product), product.name, product.bullets, product.description, product.attributes)
        chosen = self._state.options.values()
        return worth(offer, self._goal.wish, product.price, chosen, self.market.nouns)

    def _show(self) -> str:
        self._look()
        catalogue, instruction = self.market.catalogue, self._goal.text
        return pages.text(self._state, catalogue, instruction, self._with_attributes, self._reward)

    def _look(self) -> None:
        self._labels = pages.clickables(self._state, self.market.catalogue, self._with_attributes)
