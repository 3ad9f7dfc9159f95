"""Monte Carlo tree search over agent turns: the episodes the teacher finds for one task."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import Any

from depo_lightning.agents.react import FormatError, parse_turn
from depo_lightning.agents.teacher import Teacher
from depo_lightning.agents.usage import Proposals, total
from depo_lightning.collect.tree import NO_USAGE, Node
from depo_lightning.envs.base import TextEnv
from depo_lightning.errors import ConfigError, DepoError
from depo_lightning.trajectory import Source, Status, Step, Trajectory

_ROLLOUT_TRIES = 3  # calls for a turn that can be read before a rollout is given up


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How much to search. DEPO gives no figures; these suit a scripted teacher on BabyAI.

    Attributes:
        simulations: playouts per task; a tree yields at most as many episodes.
        proposals: turns the teacher proposes where a node is expanded (k).
        exploration: w of DEPO, Eq. 2.
        max_depth: agent turns after which an episode is cut off.

    Raises:
        ConfigError: a count below 1, or a negative exploration.
    """

    simulations: int = 4
    proposals: int = 3
    exploration: float = 1.0
    max_depth: int = 20

    def __post_init__(self) -> None:
        faults = [
            f"search.{name}={value!r}: at least 1; choose a positive integer"
            for name, value in ((field.name, getattr(self, field.name)) for field in fields(self))
            if name != "exploration" and value < 1
        ]
        if not self.exploration >= 0:
            faults.append(f"search.exploration={self.exploration!r}: at least 0; 1.0 is the default")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What one search did.

    Attributes:
        task, level: the task searched; of a mixture, by its number there.
        simulations: playouts used; fewer than allowed where the tree was fully explored or crashed.
        paths: distinct finished episodes (ended, or cut off at the maximal depth).
        successes: those that reached the goal.
        dropped: proposals that could not be read as one turn, also when a teacher that can be asked again was.
        repaired: proposals that could be read once it was asked again.
        stalled: playouts given up because no readable turn was proposed.
        seconds: wall-clock time.
        error: what broke, if something did; such a tree also yields one crashed trajectory.
        calls, prompt_tokens, completion_tokens: what the teacher's proposals cost, where it says so.
        refused: why the teacher's model refused a question, if it did; such a tree lacks the turns asked for.
    """

    task: int
    level: str
    simulations: int
    paths: int
    successes: int
    dropped: int
    stalled: int
    seconds: float
    error: str = ""
    repaired: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TreeResult:
    """The episodes of one tree, in tree order, and how they were found."""

    trajectories: tuple[Trajectory, ...]
    report: TreeReport


async def search(env: TextEnv, teacher: Teacher, task: int, settings: SearchSettings, seed: int) -> list[Trajectory]:
    """The distinct finished episodes of one task. See `search_tree`, which also reports how they were found."""
    return list((await search_tree(env, teacher, task, settings, seed)).trajectories)


async def search_tree(env: TextEnv, teacher: Teacher, task: int, settings: SearchSettings, seed: int) -> TreeResult:
    """Search one task.

    Each simulation selects by UCT (DEPO, Eq. 2), expands the node it arrives at with k proposals, plays one of
    them and lets the teacher play on to the end or to `max_depth`, then adds the final reward along the path. The
    turns of a playout stay in the tree, so every episode has a position: its child indices from the root.

    Args:
        env: played on alone until the search returns.
        teacher: proposes the turns.
        task: index of the task in `env`.
        settings: budget and constants.
        seed: with `task`, decides the teacher's seeds; nothing else is random here.

    Returns:
        Every distinct sequence of turns that ended (`finished`) or was cut off (`truncated`, reward 0), and the
        report. If the environment or the teacher raises, the episodes found before, one `crashed` trajectory with
        the turns that led there, and the error in the report.

    Raises:
        DepoError: a fault of configuration, data or machine; those end the run, not the tree.
    """
    return await _Search(env, teacher, task, settings, seed).run()


class _Search:
    def __init__(self, env: TextEnv, teacher: Teacher, task: int, settings: SearchSettings, seed: int) -> None:
        self.number, self.teacher, self.settings, self.seed = task, teacher, settings, seed
        self.env, self.task = env.part(task)
        self.rng = Random(f"search/{self.env.name}/{self.task}/{seed}")
        self.root = Node()
        self.here = self.root  # the node whose state the environment is in
        self.dropped = self.repaired = 0
        self.refused = ""
        self.simulations = 0

    async def run(self) -> TreeResult:
        started = time.perf_counter()
        error = ""
        try:
            self.root.observation = self.env.reset(self.task)
            self.root.mark = self.env.snapshot()
            while self.simulations < self.settings.simulations and not self.root.exhausted:
                await self._simulate()
                self.simulations += 1
        except DepoError:
            raise
        except Exception as problem:  # whatever broke belongs to this task alone: reported, and the others go on
            error = f"{type(problem).__name__}: {problem}"
            self.here.outcome = Status.CRASHED
        ends = [node for node in self.root.walk() if node.outcome is not None]
        finished = [node for node in ends if node.outcome is not Status.CRASHED]
        usage = total(node.usage for node in self.root.walk() if node.usage is not NO_USAGE)
        report = TreeReport(
            task=self.number,
            level=self.env.level(self.task),
            simulations=self.simulations,
            paths=len(finished),
            successes=sum(node.success for node in finished),
            dropped=self.dropped,
            stalled=sum(node.dead for node in self.root.walk()),
            seconds=time.perf_counter() - started,
            error=error,
            repaired=self.repaired,
            calls=usage.calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            refused=self.refused,
        )
        return TreeResult(tuple(self._trajectory(node, error) for node in ends), report)

    async def _simulate(self) -> None:
        """Select, expand, play out, and pass the reward back."""
        node = self.root
        while node.expanded:
            node = node.select(self.settings.exploration)
            if not node.played:
                break
        if node.played:
            self._go_to(node)
            node.mark = node.mark or self.env.snapshot()
            await self._expand(node)
            if node.dead:
                node.backpropagate(0.0)
            if node.exhausted:  # also where every proposal repeats a path that is played out: nothing was learnt
                return
            node = node.select(self.settings.exploration)
        if not node.played:
            assert node.parent is not None
            self._go_to(node.parent)
            self._play(node)
        end = await self._play_out(node)
        end.backpropagate(end.reward)

    async def _expand(self, node: Node) -> None:
        texts = await self._propose(node, self.settings.proposals)
        for text in texts:
            node.child(text)
        node.expanded = True
        node.dead = not node.children

    async def _play_out(self, node: Node) -> Node:
        """Let the teacher play from here to the end; returns the last node."""
        while node.outcome is None:
            for _ in range(_ROLLOUT_TRIES):
                texts = await self._propose(node, 1)
                if texts:
                    break
            else:
                node.dead = True
                break
            self._go_to(node)
            node = node.child(texts[0])
            if not node.played:
                self._play(node)
        return node

    async def _propose(self, node: Node, count: int) -> list[str]:
        """The teacher's readable proposals; the others are dropped and counted."""
        messages = node.messages(self.env.system_prompt)
        texts = await self.teacher.propose(messages, count, self.rng.getrandbits(32))
        if isinstance(texts, Proposals):
            node.usage += texts.usage
            self.dropped += texts.dropped
            self.repaired += texts.repaired
            self.refused = self.refused or texts.refused
        readable = []
        for text in dict.fromkeys(texts):
            try:
                parse_turn(text)
            except FormatError:
                self.dropped += 1
            else:
                readable.append(text)
        return readable

    def _play(self, node: Node) -> None:
        """Play the turn that leads from the environment's present state to `node`."""
        assert node.parent is self.here
        turn = parse_turn(node.text)
        answer = self.env.step(turn.action)
        node.step = Step(self.here.observation, turn.thought, turn.action, node.text, valid=answer.valid)
        node.observation = answer.observation
        self.here = node
        if answer.done:
            node.outcome, node.reward, node.success = Status.FINISHED, answer.reward, answer.success
        elif node.depth >= self.settings.max_depth:
            node.outcome = Status.TRUNCATED

    def _go_to(self, node: Node) -> None:
        """Bring the environment into the state of a played node: from the nearest snapshot above, by replay."""
        if self.here is node:
            return
        line = node.line()
        start = max(index for index, above in enumerate(line) if above.mark is not None)
        self.env.restore(line[start].mark)
        self.here = line[start]
        for below in line[start + 1 :]:
            assert below.step is not None
            self.env.step(below.step.action)
            self.here = below

    def _trajectory(self, end: Node, error: str) -> Trajectory:
        tree = f"{self.env.name}-{self.task}"
        return Trajectory(
            id=f"{tree}-{'.'.join(map(str, end.path)) or 'root'}",
            env=self.env.name,
            task=self.task,
            seed=self.seed,
            system=self.env.system_prompt,
            steps=tuple(node.step for node in end.line() if node.step is not None),
            reward=end.reward,
            success=end.success,
            status=end.outcome or Status.FINISHED,
            level=self.env.level(self.task),
            source=Source(tree, end.path),
            error=error if end.outcome is Status.CRASHED else "",
            extra=_extra(end),
        )


def _extra(end: Node) -> dict[str, Any]:
    """What the proposals along the path cost. Episodes of a tree share the cost of the states that they share."""
    usage = total(node.usage for node in end.line() if node.usage is not NO_USAGE)
    return {"usage": usage.to_dict()} if usage.calls else {}
