"""The search tree over agent turns: nodes, UCT, and the way from a node back to an episode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from depo_lightning.agents.usage import Usage
from depo_lightning.trajectory import Status, Step

NO_USAGE = Usage()


@dataclass(slots=True, eq=False)
class Node:
    """A state of the episode, reached by one agent turn; the root is reached by none.

    Attributes:
        parent: None for the root.
        index: position among the parent's children.
        text: the turn as written; unique among siblings.
        step: the turn with the observation it answers; None for the root and until the turn is played.
        observation: what the agent sees here; set once the turn is played.
        outcome: how the episode ended here; None while it goes on.
        reward: final reward, where the episode ended.
        dead: nothing can follow here, though the episode has not ended (no well-formed turn was proposed).
        mark: the environment's snapshot, where one was taken.
        usage: what the teacher's proposals for this state cost, where it says so.
        visits, value: N(s) and the sum of the final rewards seen through here; Q(s) is their ratio.
    """

    parent: Node | None = None
    index: int = 0
    text: str = ""
    step: Step | None = None
    observation: str = ""
    outcome: Status | None = None
    reward: float = 0.0
    success: bool = False
    dead: bool = False
    mark: Any = None
    expanded: bool = False
    usage: Usage = NO_USAGE
    visits: int = 0
    value: float = 0.0
    children: list[Node] = field(default_factory=list)

    @property
    def played(self) -> bool:
        return self.parent is None or self.step is not None

    @property
    def depth(self) -> int:
        return sum(1 for _ in self.line()) - 1

    @property
    def path(self) -> tuple[int, ...]:
        """Child indices from the root to here."""
        return tuple(node.index for node in self.line())[1:]

    @property
    def exhausted(self) -> bool:
        """Whether every way on from here has been played to its end."""
        if self.outcome is not None or self.dead:
            return True
        return self.expanded and all(child.exhausted for child in self.children)

    def line(self) -> list[Node]:
        """The nodes from the root to here."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def child(self, text: str) -> Node:
        """The child that the turn `text` leads to, made if it is new."""
        for node in self.children:
            if node.text == text:
                return node
        node = Node(parent=self, index=len(self.children), text=text)
        self.children.append(node)
        return node

    def messages(self, system: str) -> list[dict[str, str]]:
        """The conversation up to this node's observation, as chat messages."""
        chat = [{"role": "system", "content": system}] if system else []
        for node in self.line():
            if node.parent is not None:
                chat.append({"role": "assistant", "content": node.text})
            chat.append({"role": "user", "content": node.observation})
        return chat

    def backpropagate(self, reward: float) -> None:
        """Add one visit and `reward` to every node from here to the root."""
        for node in self.line():
            node.visits += 1
            node.value += reward

    def select(self, exploration: float) -> Node:
        """The child with the highest UCT that is not exhausted; the first of those that tie."""
        open_children = [child for child in self.children if not child.exhausted]
        return max(open_children, key=lambda child: uct(child.value, child.visits, self.visits, exploration))

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, parents first, siblings in order."""
        yield self
        for child in self.children:
            yield from child.walk()


def uct(value: float, visits: int, parent_visits: int, exploration: float) -> float:
    """UCT(s) = Q(s) + w·sqrt(ln N(parent) / N(s)), infinite for an unvisited state (DEPO, Eq. 2).

    Args:
        value: sum of the rewards seen through s; Q(s) = value / visits.
        visits: N(s).
        parent_visits: N(parent).
        exploration: w.
    """
    if visits == 0:
        return math.inf
    return value / visits + exploration * math.sqrt(math.log(max(parent_visits, 1)) / visits)
