"""WebShop's search: agreement with Lucene's ranking, and load time, search time and memory at a million products.

Queries are instructions of the generated shop, and with WEBSHOP_QUERIES=FILE (a JSON list of strings, such as
`human_goals.json` of the public data) a thousand of those too. Lucene: see `lucene.py`; Tantivy if it is installed,
with our terms, since its own stemmer is another one; its k1 and b are fixed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench.lucene import rankings
from bench.settings import Settings, Unavailable
from bench.table import Row
from depo_lightning.envs.webshop.analyzer import Analyzer
from depo_lightning.envs.webshop.bm25 import Bm25Searcher
from depo_lightning.envs.webshop.catalogue import Product
from depo_lightning.envs.webshop.generate import listings
from depo_lightning.envs.webshop.generate.wishes import wish
from depo_lightning.envs.webshop.index import open_shop
from depo_lightning.envs.webshop.search import RESULTS, document

_FEW, _MANY, _QUICK = 1000, 1_000_000, 20_000
_QUERIES = 1000
Search = Callable[[str, int], Sequence[str]]


def measure(settings: Settings) -> list[Row]:
    """Agreement on a thousand products, where Lucene is at hand, and figures of a large shop."""
    try:
        agreement = _agreements()
    except Unavailable as missing:
        return _large(settings, f"; agreement with Lucene was not measured: {missing}")
    return [*agreement, *_large(settings)]


def _agreements() -> list[Row]:
    shop = list(listings(_FEW))
    texts = [(listing.asin, document(_product(listing.item, listing.attributes))) for listing in shop]
    queries = {"instructions": [wish(listing)["instruction"] for listing in shop[:_QUERIES]]}
    if path := os.environ.get("WEBSHOP_QUERIES"):
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        queries["people's"] = [" ".join(text.split()) for text in random.Random(0).sample(found, _QUERIES)]
    engines: dict[str, Search] = {"ours": Bm25Searcher.from_texts(texts).search}
    note = ""
    try:
        engines["Tantivy"] = _tantivy(texts)
    except ModuleNotFoundError:
        note = "Tantivy is not installed"
    rows = []
    for name, asked in queries.items():
        with tempfile.TemporaryDirectory() as folder:
            theirs = rankings(texts, [text.lower() for text in asked], RESULTS, Path(folder))
        for engine, search in engines.items():
            ours = [list(search(text, RESULTS)) for text in asked]
            rows.append(_agreement(f"{engine}, {len(asked)} {name} queries", ours, theirs, note))
    return rows


def _agreement(what: str, ours: Sequence[list[str]], theirs: Sequence[list[str]], note: str) -> Row:
    answered = [(a[:10], b[:10]) for a, b in zip(ours, theirs, strict=True) if b]
    overlap = mean(len(set(a) & set(b)) / len(b) for a, b in answered)
    same = mean(a == b for a, b in answered)
    share = f"{100 * same:.1f} % of the lists equal, order included; {len(answered)} queries have an answer"
    return Row("webshop_search", f"top-10 overlap with Lucene: {what}", "share", [overlap], [], note=f"{share}. {note}")


def _tantivy(texts: Sequence[tuple[str, str]]) -> Search:
    import tantivy

    analyzer = Analyzer()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw")
    builder.add_text_field("text", tokenizer_name="whitespace")
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(num_threads=1)
    for name, text in texts:
        writer.add_document(tantivy.Document(id=name, text=" ".join(analyzer.terms(text))))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def search(query: str, limit: int) -> list[str]:
        terms = [tantivy.Query.term_query(schema, "text", term) for term in analyzer.terms(query)]
        wanted = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        return [searcher.doc(address)["id"][0] for _, address in searcher.search(wanted, limit).hits]

    return search


def _large(settings: Settings, remark: str = "") -> list[Row]:
    """Build a large shop in a folder, then open and search it in fresh processes."""
    count = _QUICK if settings.quick else _MANY
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        open_shop(Path(folder) / "shop", "bench", lambda: _products(count))
        built = time.perf_counter() - began
        mib = sum(path.stat().st_size for path in (Path(folder) / "shop").iterdir()) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for _ in range(settings.repetitions):
            line = [sys.executable, "-m", "bench.webshop_search", str(Path(folder) / "shop"), str(count)]
            figures.append(json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout))
    note = (
        f"{count} products; built in {built:.0f} s, {mib:.0f} MiB on disk, peak {peak:.0f} MiB while building{remark}"
    )
    memory = median(figure["mib"] for figure in figures)
    return [
        Row(
            "webshop_search",
            "opening a stored shop",
            "s",
            [f["load_s"] for f in figures],
            [],
            ours_mib=memory,
            note=note,
        ),
        Row("webshop_search", "a search, median", "s", [f["median_s"] for f in figures], [], note="50 products"),
        Row("webshop_search", "a search, 95th percentile", "s", [f["p95_s"] for f in figures], []),
        Row("webshop_search", "a results page read", "s", [f["page_s"] for f in figures], [], note="10 products"),
    ]


def _products(count: int) -> Iterator[Product]:
    return (_product(listing.item, listing.attributes) for listing in listings(count))


def _product(item: dict[str, Any], attributes: Sequence[str]) -> Product:
    prices = tuple(float(part) for part in item["pricing"].replace("-", " ").replace("$", " ").split())
    options = {
        name.lower(): tuple(choice["value"] for choice in choices)
        for name, choices in item["customization_options"].items()
    }
    return Product(
        asin=item["asin"],
        name=item["name"],
        category=item["category"],
        query=item["query"],
        product_category=item["product_category"],
        description=item["full_description"],
        bullets=tuple(item["small_description"]),
        prices=prices,
        options=options,
        attributes=tuple(attributes),
        price=prices[0],
    )


def _open_and_search(folder: Path, count: int) -> dict[str, float]:
    """Figures of one process; a first round of other queries brings the postings into memory."""

    def never() -> Iterator[Product]:
        raise Unavailable("the shop is stored already")

    before = _resident()
    began = time.perf_counter()
    shop = open_shop(folder, "bench", never)
    load = time.perf_counter() - began
    asked = [wish(listing)["instruction"] for listing in islice(listings(count), 2000)]
    for query in asked[:1000]:
        shop.searcher.search(query, RESULTS)
    times, cpu, pages = [], [], []
    for query in asked[1000:]:
        began, worked = time.perf_counter(), time.process_time()
        found = shop.searcher.search(query, RESULTS)
        times.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
        began = time.perf_counter()
        _ = [shop.catalogue[asin].name for asin in found[:10]]
        pages.append(time.perf_counter() - began)
    times.sort()
    return {
        "load_s": load,
        "median_s": median(times),
        "cpu_s": median(cpu),
        "p95_s": times[int(0.95 * len(times))],
        "page_s": median(pages),
        "mib": _resident() - before,
    }


def _resident() -> float:
    """Resident memory of this process, MiB, mapped pages that were read included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    print(json.dumps(_open_and_search(Path(sys.argv[1]), int(sys.argv[2]))))
