from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from depo_lightning.sweeps.__main__ import main, sweeps

ROOT = Path(__file__).parents[2]


def test_every_sweep_of_the_project_is_listed(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["list"]) == 0
    assert capsys.readouterr().out == bare
    for path in (ROOT / "sweeps").glob("*.yaml"):
        assert f"python run.py -m +sweeps={path.stem}" in bare
    assert "The paper's grid" in bare


def test_the_description_is_the_first_comment(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "# @package _global_\n# What it is for: python run.py -m +sweeps=a\n# more\nx: 1\n"
    )
    (tmp_path / "b.yaml").write_text("# @package _global_\nx: 1 # not this\n")
    (tmp_path / "c.txt").write_text("# no sweep\n")
    assert sweeps(tmp_path) == {"a": "What it is for", "b": ""}


def test_a_half_finished_sweep_can_be_reported(seeds, capsys):
    assert main(["report", str(seeds)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "8 of 9 jobs finished" in out
    assert "difference to BC" in out
    names = "sweep.csv configurations.csv sweep.md sweep.tex pareto.json pareto.html"
    names += " pareto.png hypervolume.png importance.png differences.png"
    assert set(names.split()) <= {path.name for path in seeds.iterdir()}


def test_options_of_a_report(seeds, capsys):
    line = ["report", str(seeds), "--policy", "bc", "--objective", "success_rate=maximize"]
    assert main([*line, "--objective", "steps_all=minimize", "--reference", "alpha1=2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "steps_all minimized" in out
    assert "difference to α1 = 2" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "/nowhere"], "/nowhere: no such directory"),
        (["report", "{empty}"], "no job of a sweep in it"),
        (["report", "{sweep}", "--objective", "success_rate=up"], "metric=maximize or metric=minimize"),
        (["report", "{sweep}", "--objective", "success_rate=maximize"], "two objectives"),
        (["report", "{sweep}", "--policy", "nope"], "bc, depo, filtered_bc, kto"),
        (["report", "{sweep}", "--objective", "success_rate=maximize", "--objective", "nope=minimize"], "'nope'"),
        (["report", "{sweep}", "--reference", "alpha1=9"], "no such configuration"),
        (["report", "{sweep}", "--reference", "alpha1"], "key=value"),
        (["list", "--in", "/nowhere"], "/nowhere: no such directory"),
        (["dance"], "invalid choice"),
        (["report"], "required: directory"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(arguments, words, sweep, tmp_path):
    (tmp_path / "empty").mkdir()
    places = {"{empty}": str(tmp_path / "empty"), "{sweep}": str(sweep)}
    command = [sys.executable, "-m", "depo_lightning.sweeps", *(places.get(a, a) for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "empty").iterdir())
