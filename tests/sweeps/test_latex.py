from __future__ import annotations

import re

import pytest

from depo_lightning.sweeps.latex import escape, latex_text
from depo_lightning.sweeps.report import build_report

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50% of #1", r"a\_b \& 50\% of \#1"),
        (r"C:\x {y} $z^2~", r"C:\textbackslash{}x \{y\} \$z\textasciicircum{}2\textasciitilde{}"),
        ("0.740 ± 0.025", r"0.740 $\pm$ 0.025"),
        ("+0.1 ** [-0.2, +0.3]", r"$+$0.1 $^{*}$$^{*}$ {[}$-$0.2, $+$0.3{]}"),
        ("α1 = 3 − (κ0 = 1e-05)", r"$\alpha$1 = 3 $-$ ($\kappa$0 = 1e-05)"),
        ("jobs 0-2", "jobs 0-2"),
        ("größer\n漢", "größer ?"),
        ("–", "--"),
    ],
)
def test_text_is_set_as_it_reads(text, expected):
    assert escape(text) == expected


def test_tables_are_whole(tmp_path, played, job):
    played(tmp_path, 0, ["depo.x_y='a_b%&'"])
    played(tmp_path, 1, ["depo.x_y=[c,d]"], tokens=10)
    failed = job(tmp_path, 2, ["depo.x_y=e"], None)
    (failed / "error.txt").write_text("data error:\n  - 100 % of {a} & \\b are gone #1\n")
    text = latex_text(build_report(tmp_path, None, OBJECTIVES))
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) == 3  # configurations, to BC, between both
    for columns, body in tables:
        lines = [line for line in body.splitlines() if not line.startswith(("\\toprule", "\\midrule", "\\bottomrule"))]
        assert all(line.endswith(r" \\") for line in lines)
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(columns)}
        assert body.count("rule") == 3
    bare = re.sub(r"\\begin\{tabular\}\{[lr]+\}|\\(?:end\{tabular\}|\w+\{\}|[\w&%$#_{}\\]+)|\$[^$]*\$", "", text)
    bare = "\n".join(line for line in bare.splitlines() if not line.startswith("%"))
    assert not re.search(r"[#_$%^~]", bare)
