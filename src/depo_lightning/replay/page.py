"""The page: one HTML file that holds the episodes and asks no network for anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from depo_lightning.files import write_atomic
from depo_lightning.replay.drawing import DRAWING
from depo_lightning.replay.script import SCRIPT
from depo_lightning.replay.style import STYLE

_BODY = """\
<header>
<h1></h1><p id="count"></p>
<div id="filters">
<label>policy <select id="policy"></select></label>
<label>outcome <select id="outcome"></select></label>
<label>level <select id="level"></select></label>
<label>order <select id="order"><option value="">as stored</option><option value="tokens">most tokens</option>
<option value="steps">most steps</option></select></label>
<label>find <input id="find" type="search" placeholder="task, id or words"></label>
<label>beside <select id="beside"></select></label>
</div>
</header>
<main>
<nav id="list" aria-label="episodes"></nav>
<section id="stage">
<div id="controls"><button id="first">first</button><button id="back">◀ back</button><span id="place"></span>
<button id="next">next ▶</button><button id="last">end</button>
<small>keys: ← → turns, ↑ ↓ episodes</small></div>
<div id="panes"></div>
</section>
</main>
"""


def write_page(rows: Iterable[Mapping[str, Any]], title: str, path: str | os.PathLike[str]) -> Path:
    """Write `page`, atomically; returns the path."""
    return write_atomic(path, page(rows, title).encode("utf-8", "replace"))  # half of a surrogate pair is no character


def page(rows: Iterable[Mapping[str, Any]], title: str) -> str:
    """The page's text.

    Args:
        rows: as `episodes.page_row` makes them. The script shows them as text only, never as markup.
        title: what is replayed.
    """
    data = json.dumps({"title": title, "episodes": list(rows)}, ensure_ascii=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # no text may end the script
    head = f'<meta charset="utf-8">\n<title>Episodes of {escape(title)}</title>\n'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n{_BODY}"
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>\n{DRAWING}{SCRIPT}</script>\n</body>\n</html>\n"
    )
