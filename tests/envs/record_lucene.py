"""Records what Lucene answers on the generated shop: `python -m tests.envs.record_lucene`, with bench/lucene.py's jar.

The recording is in `lucene_top10.json`; `test_webshop_search.py` compares our search with it. To be recorded again when
the generated shop changes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench.lucene import rankings
from bench.webshop_search import _product

from depo_lightning.envs.webshop.generate import listings
from depo_lightning.envs.webshop.generate.wishes import wish
from depo_lightning.envs.webshop.search import document

RECORDING = Path(__file__).with_name("lucene_top10.json")
COUNT = 1000  # products
QUERIES = 25


def documents() -> list[tuple[str, str]]:
    """(id, text) of the generated shop's products."""
    return [(listing.asin, document(_product(listing.item, listing.attributes))) for listing in listings(COUNT)]


def main() -> None:
    queries = [wish(listing)["instruction"] for listing in list(listings(COUNT))[:: COUNT // QUERIES]]
    with tempfile.TemporaryDirectory() as folder:
        found = rankings(documents(), queries, 10, Path(folder))
    RECORDING.write_text(json.dumps(dict(zip(queries, found, strict=True)), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
