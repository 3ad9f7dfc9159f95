"""`sweep.tex`: the tables of a sweep for a paper, as `tabular`s for `booktabs`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from depo_lightning.sweeps.report import Report
from depo_lightning.sweeps.table import closing, configuration_cells, difference_cells

_PLAIN = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line's end a bracket would be its argument
    "]": "{]}",
    "*": r"$^{*}$",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "κ": r"$\kappa$",
    "λ": r"$\lambda$",
    "₁": "$_1$",
    "₂": "$_2$",
}
_SIGNED = re.compile(r"(?<![\w.])([+-])(?=\d)")


def latex_text(report: Report) -> str:
    """All tables; `\\usepackage{booktabs}` is what they need."""
    parts = ["% Needs \\usepackage{booktabs}.", _tabular(*configuration_cells(report)), _comment(closing(report))]
    for table in report.differences:
        parts += [_tabular(*difference_cells(table))] if table.rows else []
        parts.append(_comment(table.note))
    return "\n\n".join([*parts, *map(_comment, report.notes)]) + "\n"


def escape(text: str) -> str:
    """Plain text as LaTeX sets it; what LaTeX's fonts may lack becomes a question mark."""
    signed = _SIGNED.split(text)  # signs of numbers are set as mathematics
    found = "".join(f"${part}$" if n % 2 else _escape(part) for n, part in enumerate(signed))
    return re.sub(r"[\r\n]+", " ", found)


def _escape(text: str) -> str:
    return "".join(_PLAIN.get(c, c if c.isascii() or (c.isalpha() and ord(c) < 0x250) else "?") for c in text)


def _tabular(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = "".join("l" if index == 0 or name == "note" else "r" for index, name in enumerate(header))
    lines = [" & ".join(map(escape, row)) + r" \\" for row in rows]
    head = " & ".join(map(escape, header)) + r" \\"
    body = "\n".join(lines)
    return f"\\begin{{tabular}}{{{align}}}\n\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}"


def _comment(text: str) -> str:
    return "\n".join(f"% {line}" for line in text.splitlines())
