"""The account of a paid model: calls, tokens, cost, every fault by kind, and the budget that ends the spending."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depo_lightning.agents.usage import Usage
from depo_lightning.errors import DataError, MachineError

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Prices:
    """Price per million tokens, in one currency; None is unknown."""

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None  # None: as dear as other input

    def cost(self, usage: Usage) -> float | None:
        """What the usage costs; None where a price is unknown."""
        if self.input is None or self.output is None:
            return None
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.completion_tokens * self.output) / _MILLION


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper bounds on what a stage may spend, over all its starts; None is no bound."""

    tokens: int | None = None
    cost: float | None = None


def refusal_remedy(what: str) -> str:
    """What to do where a model refuses questions, most often because a conversation outgrows its context."""
    shorter = ", or shorter episodes (search.max_depth)" if what == "teacher" else ""
    return f"if it is too long: serve the {what} with more context, or set a smaller {what}.max_tokens{shorter}"


class Account:
    """What was asked of a model. Kept in a file as it grows, so that a stage that is started anew goes on counting.

    Attributes:
        usage: of all answered requests, useless answers included: they are billed too.
        requests: sent, whatever came back.
        faults: by kind, such as "timeout" or "HTTP 429"; each was met by asking again, or ended the run.
        refused: questions that the server will not answer, such as a conversation that is too long.
        refusal: what it said to the last of them.
        empty: answers without text, after asking again.
        estimated: answered requests whose tokens the server did not count; an estimate, rather too high, is in `usage`.
    """

    def __init__(
        self,
        what: str,
        model: str,
        prices: Prices | None = None,
        budget: Budget | None = None,
        file: Path | None = None,
    ) -> None:
        self.what, self.model = what, model
        self.prices, self.budget = prices or Prices(), budget or Budget()
        self.usage = Usage()
        self.requests = self.refused = self.empty = self.estimated = 0
        self.refusal = ""
        self.faults: Counter[str] = Counter()
        self._file = file
        if file is not None and file.exists():
            self._load(file)

    @property
    def cost(self) -> float | None:
        """In the currency of the prices; None where they are unknown."""
        return self.prices.cost(self.usage)

    def check(self) -> None:
        """Called before each request.

        Raises:
            MachineError: the budget is used up.
        """
        left = f"what is finished is kept; raise it, and the same command goes on ({self.what}.limits.budget_"
        if self.budget.tokens is not None and self.usage.tokens >= self.budget.tokens:
            raise MachineError(
                f"{self.what}: {self.usage.tokens} tokens are spent, the budget is {self.budget.tokens}; {left}tokens)"
            )
        if self.budget.cost is not None and (self.cost or 0.0) >= self.budget.cost:
            raise MachineError(f"{self.what}: {self.cost:.4f} is spent, the budget is {self.budget.cost}; {left}cost)")

    def sent(self) -> None:
        self.requests += 1
        self._save()

    def answered(self, usage: Usage, estimated: bool = False) -> None:
        self.usage += usage
        self.estimated += estimated
        self._save()

    def fault(self, kind: str) -> None:
        self.faults[kind] += 1
        self._save()

    def refuse(self, reason: str) -> None:
        self.refused += 1
        self.refusal = reason
        self._save()

    def found_empty(self) -> None:
        self.empty += 1
        self._save()

    def to_dict(self) -> dict[str, Any]:
        """The account as plain values."""
        return {
            "model": self.model,
            "requests": self.requests,
            **self.usage.to_dict(),
            "cost": self.cost,
            "faults": dict(sorted(self.faults.items())),
            "refused": self.refused,
            "refusal": self.refusal,
            "empty": self.empty,
            "estimated": self.estimated,
        }

    def lines(self) -> Iterator[str]:
        """The account in words."""
        cost = "" if self.cost is None else f", cost {self.cost:.4f}"
        yield (
            f"{self.what} {self.model}: {self.usage.calls} answers to {self.requests} requests, "
            f"{self.usage.prompt_tokens} + {self.usage.completion_tokens} tokens{cost}"
        )
        if self.faults:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.faults.most_common())
            yield f"{sum(self.faults.values())} faults, each asked again: {kinds}"
        if self.refused:
            yield (
                f"WARNING: {self.refused} questions were refused and left unanswered, the last with: {self.refusal}; "
                f"{refusal_remedy(self.what)}"
            )
        if self.empty:
            yield f"{self.empty} answers were empty or broken off by the server, also when asked again"
        if self.estimated:
            yield (
                f"WARNING: the server did not count the tokens of {self.estimated} answers; they are estimated from "
                "the texts, rather too high (reasoning that it does not send is missing)"
            )

    def _load(self, file: Path) -> None:
        try:
            row = json.loads(file.read_text(encoding="utf-8"))
            names = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens")
            self.usage = Usage(*(int(row[name]) for name in names))
            self.requests, self.refused, self.empty = (int(row[name]) for name in ("requests", "refused", "empty"))
            self.refusal, self.estimated = str(row.get("refusal", "")), int(row.get("estimated", 0))
            self.faults = Counter(row["faults"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: is damaged ({error}); delete it, and the account starts anew") from error

    def _save(self) -> None:
        """Replace the file as a whole: a killed process leaves the account of before or after, never half of one."""
        if self._file is not None:
            partial = self._file.with_suffix(".partial")
            partial.write_text(json.dumps(self.to_dict()), encoding="utf-8")
            partial.replace(self._file)
