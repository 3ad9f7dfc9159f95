"""Runs that W&B's own agent starts: its command line is Hydra's, and its sweep gets the runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SWEEP = ROOT / "sweeps" / "wandb" / "alpha.yaml"
PROPOSED = {"alpha1": 1.25, "alpha2": 0.5, "depo.beta": 3e-05}


def agent_command() -> list[str]:
    """The command line as `wandb agent` makes it of the sweep's `command` and what the server proposes."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load(SWEEP.read_text())
    assert sweep["parameters"].keys() == PROPOSED.keys()
    found = create_sweep_command_args({"args": {name: {"value": value} for name, value in PROPOSED.items()}})
    found |= {"env": [], "interpreter": [sys.executable], "program": [sweep["program"]]}
    command: list[str] = []
    for part in create_sweep_command(sweep["command"]):
        command += found[part[2:-1]] if part.startswith("${") and part.endswith("}") else [part]
    return command


def test_the_agents_command_line_is_hydras(compose_config):
    command = agent_command()
    assert command[:2] == [sys.executable, "run.py"]
    assert "alpha1=1.25" in command
    config = compose_config(*(part for part in command[2:] if not part.startswith("hydra.")))
    assert (config.alpha1, config.alpha2, config.depo.beta) == (1.25, 0.5, 3e-05)
    assert config.rollout.split == "validation"


def test_run_py_takes_it_and_each_run_has_a_directory_of_its_own(tmp_path):
    program, *rest = agent_command()
    done = subprocess.run(
        [program, str(ROOT / rest[0]), *rest[1:], "output=${hydra:run.dir}", "--cfg", "job", "--resolve"],
        env={**os.environ, "WANDB_RUN_ID": "r7x"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(done.stdout)
    assert (config["output"], config["depo"]["beta"]) == ("outputs/wandb/r7x", 3e-05)


def test_the_metric_is_one_that_runs_report():
    from depo_lightning.evaluation.metrics import summarise

    sweep = yaml.safe_load(SWEEP.read_text())
    assert sweep["metric"]["name"] in summarise([]).metrics


RUN = """
import sys
from depo_lightning.tracking import Tracker
with Tracker.start("wandb", sys.argv[1], project="p", entity="e", name="out-1", config={"alpha1": 1.25}) as tracker:
    tracker.summarise({"success_rate": 0.8})
"""


def test_a_run_under_the_agent_joins_its_sweep(tmp_path, offline_run):
    parameters = tmp_path / "config-r7x.yaml"
    parameters.write_text(yaml.safe_dump({"wandb_version": 1, "alpha1": {"value": 1.25}, "depo.beta": {"value": 0.1}}))
    agents = {"SWEEP_ID": "s1", "RUN_ID": "r7x", "PROJECT": "theirs", "SWEEP_PARAM_PATH": str(parameters)}
    environment = {**os.environ, **{f"WANDB_{name}": value for name, value in agents.items()}}
    # A process of its own, as under the agent: W&B reads its environment once.
    command = [sys.executable, "-W", "error::UserWarning", "-c", RUN, str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    kept = offline_run(tmp_path / "out")
    assert (kept.run.sweep_id, kept.run.run_id, kept.run.project) == ("s1", "r7x", "theirs")
    assert (kept.run.display_name, kept.run.run_group) == ("", "")
    assert (kept.config["alpha1"], kept.config["depo.beta"]) == (1.25, 0.1)
    assert kept.summary["success_rate"] == 0.8
    link = json.loads((tmp_path / "out" / "tracking.json").read_text())
    assert (link["sweep"], link["run_id"], link["project"]) == ("s1", "r7x", "theirs")


def test_the_file_stands_apart_from_hydras_sweeps():
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        assert "alpha" not in loader.get_group_options("sweeps")
        assert loader.get_group_options("sweeps/wandb") == ["alpha"]
