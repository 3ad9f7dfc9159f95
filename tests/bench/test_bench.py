"""The harness of `python -m bench`: turns, table, JSON, and subjects that cannot run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.alternate import alternate
from bench.kto_comparison import Comparison
from bench.settings import Settings, Unavailable
from bench.table import Row, markdown_table, number, rich_table

from bench import __main__ as command
from bench import kto_comparison, training, workers

FAST = Row("training", "epoch", "s", [2.0, 1.0, 4.0], [8.0, 9.0, 10.0], "TRL", higher_is_better=False, target=8)
ALONE = Row("startup", "--help", "s", [1.5], [], higher_is_better=False, note="a | b")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of four subjects, three of which cannot be measured."""
    folder = tmp_path / "fake_bench"
    folder.mkdir()
    head = "from bench.settings import Unavailable\nfrom bench.table import Row\n\n\ndef measure(settings):\n    "
    (folder / "good.py").write_text(head + "return [Row('good', 'x', 's', [1.0], [2.0], higher_is_better=False)]\n")
    (folder / "broken.py").write_text(head + "raise RuntimeError('boom')\n")
    (folder / "lacking.py").write_text(head + "import no_such_package\n")
    (folder / "unfit.py").write_text(head + "raise Unavailable('needs a store')\n")
    (folder / "helper.py").write_text("raise AssertionError('never imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "fake_bench"
    for name in [name for name in sys.modules if name.startswith("fake_bench")]:
        del sys.modules[name]


def test_contenders_take_turns_and_change_who_goes_first() -> None:
    order: list[str] = []

    def contender(name: str) -> float:
        order.append(name)
        return float(len(order))

    ours, peer = alternate(lambda: contender("ours"), lambda: contender("peer"), 3)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert (ours, peer) == ([1.0, 4.0, 5.0], [2.0, 3.0, 6.0])
    assert alternate(lambda: 7.0, None, 2) == ([7.0, 7.0], [])


def test_ratio_says_how_many_times_better_ours_is() -> None:
    assert FAST.ratio == 9.0 / 2.0
    assert FAST.ratio_range == (2.5, 9.0)
    rate = Row("environment", "play", "steps/s", [30.0], [10.0])
    assert (rate.ratio, rate.ratio_range) == (3.0, None)
    assert ALONE.ratio is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (4.567, "4.57"), (9.999, "10.0"), (12.34, "12.3"), (1234.5, "1234"), (0, "0")],
)
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_markdown_leaves_out_empty_columns_and_escapes() -> None:
    head, rule, fast, alone = markdown_table([FAST, ALONE]).splitlines()
    assert head == "| subject | what | unit | ours | peer | figure | ratio | target | note |"
    assert rule.count("---") == 9
    assert fast == "| training | epoch | s | 2.00 | TRL | 9.00 | 4.50× (2.50–9.00) | 8.00× |  |"
    assert alone.endswith("| a \\| b |")
    assert [column.header for column in rich_table([ALONE]).columns] == ["subject", "what", "unit", "ours", "note"]


def test_subjects_are_found_without_importing_them(package: str, tmp_path: Path) -> None:
    assert command.subjects(tmp_path / package) == ["broken", "good", "lacking", "unfit"]
    assert {"grid", "scaling", "schedule", "training"} <= set(command.subjects())


def test_a_subject_that_cannot_run_leaves_the_others_their_turn(package: str) -> None:
    outcome = command.Outcome()
    for name in ("broken", "lacking", "unfit", "good"):
        command.run_subject(name, Settings(), outcome, package)
    assert outcome.failed == {"broken": "RuntimeError: boom"}
    assert outcome.left_out["unfit"] == "needs a store"
    assert "no_such_package" in outcome.left_out["lacking"]
    assert [row.subject for row in outcome.rows] == ["good"]


def test_what_fails_later_leaves_what_was_measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(settings: Settings) -> Iterator[Row]:
        yield FAST
        raise RuntimeError("out of memory")

    outcome = command.Outcome()
    monkeypatch.setattr(training, "measure", measure)
    command.run_subject("training", Settings(), outcome)
    assert (outcome.rows, outcome.failed) == ([FAST], {"training": "RuntimeError: out of memory"})


def test_what_does_not_fit_is_tried_again_smaller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[tuple[str, int, bool]] = []

    def call(module: str, spec: dict[str, Any], threads: int) -> dict[str, Any]:
        options = {"per_device_train_batch_size": 8, "gradient_checkpointing": True} | spec.get("options", {})
        tried.append((module, options["per_device_train_batch_size"], options["gradient_checkpointing"]))
        whole = spec["samples"] == str(tmp_path / "whole")
        if module == "kto_trl" and not options["gradient_checkpointing"] and (tried[-1][1] > 2 or whole):
            raise workers.OutOfMemory("CUDA out of memory")
        used = {"seconds": 1.0, "cpu_seconds": 1.0, "mib": 1e9}
        return {**used, "reference": used}

    monkeypatch.setattr(workers, "call", call)
    monkeypatch.setattr(kto_comparison, "_free_mib", lambda device: 1e10)
    monkeypatch.setattr(Comparison, "throughput", lambda *_: [])
    facts = {"episodes": 2, "rows": 4, "row_tokens": 100}
    data = (tmp_path / "whole", tmp_path / "search")
    case = Comparison("7B", Settings(2, device="cuda"), {"shape": {}}, tmp_path, *data, facts, {})
    rows = case.rows()
    peers = [attempt[1:] for attempt in tried if attempt[0] == "kto_trl"]
    searched, fitted = [(8, False), (4, False), (2, False)], [(8, True), (2, False), (1, False), (1, True)]
    assert peers == [*searched, *fitted, (8, True), (1, True)]
    assert all(len(item.ours) == len(item.peer) for item in rows)
    assert rows[1].peer_name == "TRL, best: batch 1, bf16, by length, checkpointing"


def test_json_holds_every_repetition() -> None:
    outcome = command.Outcome(rows=[FAST], failed={"x": "boom"})
    text = json.dumps(command.to_json(Settings(store=Path("s")), {"cores": 2}, outcome))
    read = json.loads(text)
    assert read["rows"][0]["ours"] == [2.0, 1.0, 4.0]
    assert read["rows"][0]["ratio"] == 4.5
    assert read["settings"]["store"] == "s"
    assert (read["machine"], read["failed"]) == ({"cores": 2}, {"x": "boom"})


def test_a_missing_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="--store"):
        Settings().artifacts("bc")
    with pytest.raises(Unavailable, match="no bc artifact"):
        Settings(store=tmp_path).artifacts("bc")


def test_an_unknown_subject_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["no_such_subject"])
    assert stop.value.code == 2
    assert "no_such_subject" in capsys.readouterr().err


def test_faults_of_the_arguments_are_told_before_a_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(command, "run_subject", measured)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    nowhere = tmp_path / "none" / "figures.json"
    with pytest.raises(SystemExit) as ended:
        command.main(["schedule", "--repetitions", "0", "--threads", "0", "--device", "cuda", "--json", str(nowhere)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(fault in said for fault in ("--repetitions 0", "--threads 0", "--device cuda", f"--json {nowhere}"))


@pytest.mark.parametrize(("asked", "code"), [([], 0), (["good", "unfit"], 1), (["good"], 0)])
def test_the_exit_code_tells_that_what_was_asked_for_is_missing(
    asked: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(name: str, settings: Settings, outcome: command.Outcome) -> None:
        if name == "unfit":
            outcome.left_out[name] = "needs a store"

    monkeypatch.setattr(command, "subjects", lambda: ["good", "unfit"])
    monkeypatch.setattr(command, "run_subject", measured)
    assert command.main(asked) == code
