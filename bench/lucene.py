"""The reference's search engine itself: Lucene with Anserini's defaults, run by its command line on a JVM.

The jar comes with Anserini's Python package: `pip install --no-deps pyserini==0.22.1` for Java 11 to 20; another place
is told by the environment variable ANSERINI_JAR.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.settings import Unavailable


def rankings(documents: Iterable[tuple[str, str]], queries: Sequence[str], limit: int, folder: Path) -> list[list[str]]:
    """Ids of the best `limit` documents per query, best first.

    Args:
        documents: (id, text).
        queries: one line each.
        limit: at most so many per query.
        folder: empty; for the index and all else.

    Raises:
        Unavailable: no JVM or no jar.
    """
    java, jar = _java()
    source, index, topics, run = (folder / name for name in ("documents", "index", "topics.tsv", "run.txt"))
    source.mkdir()
    with (source / "documents.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": name, "contents": text}) + "\n" for name, text in documents)
    topics.write_text("".join(f"{number}\t{query}\n" for number, query in enumerate(queries)), encoding="utf-8")
    generator = "DefaultLuceneDocumentGenerator"
    _run(
        java, jar, "index.IndexCollection", collection="JsonCollection", input=source, index=index, generator=generator
    )
    bm25 = {"bm25.k1": 0.9, "bm25.b": 0.4, "hits": limit}
    _run(
        java,
        jar,
        "search.SearchCollection",
        "-bm25",
        index=index,
        topicreader="TsvString",
        topics=topics,
        output=run,
        **bm25,
    )
    found: dict[int, list[str]] = defaultdict(list)
    for line in run.read_text(encoding="utf-8").splitlines():
        query, _, name, *_ = line.split()
        found[int(query)].append(name)
    return [found[number] for number in range(len(queries))]


def _java() -> tuple[str, Path]:
    java = shutil.which("java")
    package = find_spec("pyserini")
    places = [Path(name) for name in (os.environ.get("ANSERINI_JAR"),) if name]
    if package and package.origin:
        places += sorted((Path(package.origin).parent / "resources/jars").glob("anserini-*-fatjar.jar"))
    if java is None or not places:
        raise Unavailable(f"needs a JVM and Anserini's jar: {__doc__}")
    return java, places[0]


def _run(java: str, jar: Path, program: str, *flags: str, **options: object) -> None:
    named = [part for name, value in options.items() for part in (f"-{name}", str(value))]
    line = [java, "-cp", str(jar), f"io.anserini.{program}", *flags, *named, "-threads", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
