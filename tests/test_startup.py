"""What a command loads before it works: times differ from machine to machine, the modules behind them do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from depo_lightning import app_help

RUN = Path(__file__).parents[1] / "run.py"
TORCH = {"torch", "transformers", "peft", "pytorch_lightning", "tokenizers", "accelerate"}
OTHERS = {
    "optuna",
    "wandb",
    "plotly",
    "sklearn",
    "pandas",
    "moocore",
    "tensorboard",
    "trl",
    "openai",
    "datasets",
    "wandb_workspaces",
}
DRAWING = {"matplotlib", "scipy", "numpy", "minigrid", "gymnasium", "rich"}


def loaded_after(code: str) -> set[str]:
    """The modules of a fresh process that ran `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print('loaded', *sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def help_of(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", str(RUN), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_help_is_hydras_text_without_what_only_a_run_needs(tmp_path: Path) -> None:
    overrides = ("alpha1=1", "+experiment=bc_only", "trainer=gpu")
    ours, hydras = help_of("--help", *overrides), help_of("--help", "--config-dir", str(tmp_path), *overrides)
    assert ours.stdout == hydras.stdout
    for expected in ("efficiency: depo, kto,", "sweeps/wandb: alpha\n", "alpha1: 1", "accelerator: gpu"):
        assert expected in ours.stdout
    loaded = {line.rpartition("|")[2].strip() for line in ours.stderr.splitlines()}
    assert "hydra" in loaded
    assert not loaded & (TORCH | OTHERS | DRAWING)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("--help", True),
        ("alpha1=-1 -h model.hidden=64", True),
        ("", False),
        ("alpha1=1", False),
        ("-m --help", False),  # and whatever else Hydra takes beside it, Hydra answers
        ("--help --resolve", False),
        ("--help --config-dir=/elsewhere", False),
        ("--help hydra.searchpath=[file:///elsewhere]", False),
        ("--hydra-help", False),
    ],
)
def test_help_that_hydra_answers_itself(line: str, answer: bool) -> None:
    assert app_help.wanted(line.split()) is answer


def test_a_process_that_a_stage_starts_loads_nothing_with_the_command() -> None:
    loaded = loaded_after(f"import runpy; runpy.run_path({str(RUN)!r}, run_name='__mp_main__')")
    assert not loaded & ({"hydra", "omegaconf", "depo_lightning"} | TORCH | OTHERS | DRAWING)


def test_pipeline_and_sweep_commands_wait_with_torch() -> None:
    code = "import depo_lightning.pipeline, depo_lightning.sweeps.__main__, depo_lightning.sweeps.callback"
    assert not loaded_after(code) & (TORCH | OTHERS | {"matplotlib", "scipy", "minigrid"})


def test_playing_and_loading_a_policy_needs_neither_lightning_nor_peft() -> None:
    loaded = loaded_after("from depo_lightning.stages import policies, training; import depo_lightning.rollouts")
    assert "transformers" in loaded
    assert not loaded & ({"pytorch_lightning", "torchmetrics", "peft", "matplotlib"} | OTHERS)


def test_jobs_of_a_sweep_find_everything_loaded_and_one_thread() -> None:
    """The jobs are forked from the process that has loaded this, which is not safe beside other threads."""
    loaded = loaded_after("import threading, depo_lightning.preload; assert threading.active_count() == 1")
    wanted = {"torch", "transformers", "peft", "pytorch_lightning", "minigrid", "matplotlib", "scipy.stats", "wandb"}
    assert wanted <= loaded
    assert not loaded & (OTHERS - {"wandb"})
