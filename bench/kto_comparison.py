"""One case of the KTO comparison: TRL's best settings searched, both sides run by turns, rows made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench import workers
from bench.alternate import alternate
from bench.settings import Settings
from bench.table import Row, number

BATCH = 16  # trajectories: the default of depo.batch_size
_LARGEST_BATCH = 64  # rows, of the search for TRL's best
_DEFAULT_TARGET, _BEST_TARGET = 8, 4  # issue: times faster than TRL with its defaults, with its best settings

Run = dict[str, Any]  # what a measured process answers


class Comparison:
    """One case.

    Args:
        case: its name in the table.
        settings: of the command.
        model: {"path": directory} or {"shape": fields of a LlamaConfig}.
        tokenizer: directory.
        samples: folder of `bench.tree_data`'s samples.
        search: folder of fewer samples, to search for TRL's best settings with; None takes a fixed guess.
        facts: what `bench.tree_data` says of the samples.
        trainer: fields of our TrainerConfig that differ from the defaults.
    """

    def __init__(
        self,
        case: str,
        settings: Settings,
        model: dict[str, Any],
        tokenizer: Path,
        samples: Path,
        search: Path | None,
        facts: dict[str, Any],
        trainer: dict[str, Any],
    ) -> None:
        bf16 = settings.device == "cuda"
        common = {"samples": str(samples), "device": settings.device, "threads": settings.threads}
        common |= {"model": {**model, "dtype": "bfloat16" if bf16 else "float32"}, "count_flops": False}
        precision = "bf16-mixed" if bf16 else "32-true"
        self.ours = common | {"batch_size": BATCH, "kl_pairs": 1, "precision": precision, "trainer": trainer}
        self.peer = common | {"tokenizer": str(tokenizer), "options": {}, "sort": False}
        self.case, self.settings, self.search, self.facts = case, settings, search, facts

    def rows(self) -> list[Row]:
        """Search for the best settings of both, then measure by turns.

        Raises:
            WorkerError: a run failed; what does not fit with TRL's best settings is tried again with smaller batches.
        """
        best = self.best_settings()
        self.ours["precision"] = self.best_precision()
        ours: list[Run] = []
        more: list[Run] = []
        small: list[Run] = []
        default: list[Run] = []
        tuned: list[Run] = []
        pairs = -(-self.facts["rows"] // self.facts["episodes"])  # about one for each row, which is TRL's number

        def measured(**changes: Any) -> Run:
            return workers.call("kto_ours", self.ours | changes, self.settings.threads)

        def run_ours() -> float:
            ours.append(measured())
            if not self.settings.quick:
                more.append(measured(kl_pairs=pairs))
                if _batch(best) != BATCH:
                    small.append(measured(batch_size=_batch(best)))
            return float(ours[-1]["seconds"])

        def run_peer() -> float:
            default.append(workers.call("kto_trl", self.peer, self.settings.threads))
            tuned.append(fitting())
            return float(default[-1]["seconds"])

        def fitting() -> Run:
            """The search has seen fewer rows, perhaps not the longest."""
            while True:
                try:
                    return workers.call("kto_trl", self.peer | best, self.settings.threads)
                except workers.OutOfMemory:
                    best.update(_smaller(best))
                    tuned.clear()  # of other settings
                    small.clear()  # of another batch of ours

        alternate(run_ours, run_peer, self.settings.repetitions)
        data = "{episodes} episodes, {rows} steps, {row_tokens} tokens".format(**self.facts)
        described = _describe(best)
        rows = [
            self._row(
                f"KTO epoch, reference included; {data}", ours, default, "TRL, defaults", _whole, _DEFAULT_TARGET
            ),
            self._row("KTO epoch, reference at hand", ours, tuned, f"TRL, best: {described}", _epoch, _BEST_TARGET),
            self._row("reference pass", ours, tuned, "TRL, best", _reference),
        ]
        if more:
            rows.append(self._row("KTO epoch, as many mismatched pairs as TRL", more, tuned, "TRL, best", _epoch))
        if small:
            what = f"KTO epoch, batch of {_batch(best)} trajectories"
            rows.append(self._row(what, small, tuned, "TRL, best", _epoch))
        return rows + (self.throughput(ours, tuned, best) if self.settings.device == "cuda" else [])

    def _row(
        self,
        what: str,
        ours: list[Run],
        peer: list[Run],
        name: str,
        seconds: Callable[[Run, str], float],
        target: float | None = None,
    ) -> Row:
        count = min(len(ours), len(peer))  # less than all where TRL's settings did not fit at first
        ours, peer = ours[-count:], peer[-count:]
        precision = {"32-true": "fp32", "bf16-mixed": "bf16"}[self.ours["precision"]]
        return Row(
            "training",
            f"{self.case}: {what}",
            "s",
            [seconds(run, "seconds") for run in ours],
            [seconds(run, "seconds") for run in peer],
            name,
            higher_is_better=False,
            ours_mib=max(run["reference"]["mib"] if seconds is _reference else run["mib"] for run in ours),
            peer_mib=None if seconds is _reference else max(run["mib"] for run in peer),
            target=target,
            note=f"{_cpu_ratio(ours, peer, seconds)}; ours in {precision}",
        )

    def best_settings(self) -> dict[str, Any]:
        """Options of TRL: reference precomputed, no checkpointing, rows by length, and the fastest batch and precision.

        The batch doubles while that is faster and while the next one would fit in half of the free memory.
        """
        gpu = self.settings.device == "cuda"
        batch = 8 if gpu else 2
        best = _tuned(batch, bf16=gpu)
        if self.search is None:
            return best
        while True:
            try:
                seconds, mib = self._try(best)
                break
            except workers.OutOfMemory:
                best = _smaller(best)
        shrunk = best != _tuned(batch, bf16=gpu)
        while not shrunk and batch < _LARGEST_BATCH and 2 * mib < _free_mib(self.settings.device) / 2:
            batch *= 2
            candidate = _tuned(batch, bf16=gpu)
            try:
                taken, mib = self._try(candidate)
            except workers.OutOfMemory:
                break
            if taken > seconds:
                break
            best, seconds = candidate, taken
        if not gpu:
            other = {**best, "options": {**best["options"], "bf16": True}}
            best = other if self._try(other)[0] < seconds else best
        return best

    def best_precision(self) -> str:
        """Our precision: bf16 on a GPU; on a CPU the faster one, as for TRL, whose defaults are bf16 everywhere."""
        if self.settings.device == "cuda" or self.search is None:
            return str(self.ours["precision"])
        return min(("32-true", "bf16-mixed"), key=lambda name: self._search("kto_ours", {"precision": name})[0])

    def _try(self, tuned: dict[str, Any]) -> tuple[float, float]:
        return self._search("kto_trl", tuned)

    def _search(self, module: str, changes: dict[str, Any]) -> tuple[float, float]:
        """Seconds and MiB of one run over the fewer samples."""
        spec = (self.ours if module == "kto_ours" else self.peer) | changes | {"samples": str(self.search)}
        result = workers.call(module, spec, self.settings.threads)
        clock = "seconds" if self.settings.device == "cuda" else "cpu_seconds"  # one run each must decide
        return result[clock], result["mib"]

    def throughput(self, ours: list[Run], peer: list[Run], best: dict[str, Any]) -> list[Row]:
        """Tokens per second and utilisation of the epoch, reference at hand; FLOPs are counted in runs of their own.

        A token is one of a step's prompt or completion, padding left out: TRL computes each, ours what differs.
        """
        tokens = self.facts["row_tokens"]
        peak = workers.call("flops", {"device": self.settings.device}, self.settings.threads)
        counted = [
            workers.call(module, spec | {"count_flops": True}, self.settings.threads)["flops"] / peak["flops"]
            for module, spec in (("kto_ours", self.ours), ("kto_trl", self.peer | best))
        ]
        figures = (
            ("tokens of steps trained on", "tokens/s", tokens, tokens, "padding left out"),
            ("FLOPs executed of the device's", "share", *counted, f"{peak['flops'] / 1e12:.3g} TFLOP/s: {peak['how']}"),
        )
        return [
            Row(
                "training",
                f"{self.case}: {what}",
                unit,
                [mine / _epoch(run) for run in ours],
                [theirs / _epoch(run) for run in peer],
                "TRL, best",
                note=note,
            )
            for what, unit, mine, theirs, note in figures
        ]


def _epoch(run: Run, clock: str = "seconds") -> float:
    return float(run[clock])


def _reference(run: Run, clock: str = "seconds") -> float:
    return float(run["reference"][clock])


def _whole(run: Run, clock: str = "seconds") -> float:
    return _epoch(run, clock) + (_reference(run, clock) if run["reference"] else 0.0)


def _cpu_ratio(ours: list[Run], peer: list[Run], seconds: Callable[[Run, str], float]) -> str:
    mine, theirs = [median([seconds(run, "cpu_seconds") for run in runs]) for runs in (ours, peer)]
    return f"{number(theirs / mine)}× by CPU time"


def _tuned(batch: int, bf16: bool) -> dict[str, Any]:
    options = {"precompute_ref_log_probs": True, "gradient_checkpointing": False, "bf16": bf16}
    return {"sort": True, "options": options | {"per_device_train_batch_size": batch}}


def _batch(best: dict[str, Any]) -> int:
    return int(best["options"]["per_device_train_batch_size"])


def _smaller(best: dict[str, Any]) -> dict[str, Any]:
    """Settings that take less memory: half the batch; for a batch of one, checkpointing.

    Raises:
        WorkerError: these do as little as can be.
    """
    options = dict(best["options"])
    if _batch(best) > 1:
        options["per_device_train_batch_size"] = _batch(best) // 2
    elif not options["gradient_checkpointing"]:
        options["gradient_checkpointing"] = True
    else:
        raise workers.WorkerError("TRL's KTOTrainer does not fit in this GPU's memory, one row at a time")
    return {**best, "options": options}


def _describe(best: dict[str, Any]) -> str:
    options = best["options"]
    precision = "bf16" if options["bf16"] else "fp32"
    again = "checkpointing" if options["gradient_checkpointing"] else "no checkpointing"
    return f"batch {_batch(best)}, {precision}, by length, {again}"


def _free_mib(device: str) -> float:
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0] / 2**20
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) / 1024
