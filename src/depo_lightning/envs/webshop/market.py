"""A catalogue with its search, its goals and its tagger: built once per process, shared by all environments in it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from depo_lightning.choices import Instructions
from depo_lightning.envs.webshop import official
from depo_lightning.envs.webshop.catalogue import Catalogue, Product
from depo_lightning.envs.webshop.goals import Goals, Instruction, numbered
from depo_lightning.envs.webshop.nouns import tagger, tagger_faults
from depo_lightning.envs.webshop.reward import Nouns
from depo_lightning.envs.webshop.search import Searcher
from depo_lightning.errors import ConfigError, DataError, MachineError
from depo_lightning.files import write_atomic

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Which catalogue and which goals; the fields of the configuration group that decide them."""

    data: str | None
    products: int | None
    instructions: Instructions
    tagger: str
    index: str | None
    catalogue_seed: int


@dataclass(frozen=True)
class Market:
    """All that episodes of one source share."""

    catalogue: Catalogue
    searcher: Searcher
    goals: Goals
    nouns: Nouns


def faults(source: Source) -> Iterator[str]:
    """What stands in the way of opening `source`, found without reading any data."""
    yield from tagger_faults(source.tagger)
    if source.products is None and source.data is None:
        yield "env.products=null: a generated catalogue needs a number of products, such as 1000"
    elif source.products is not None and source.products < 1:
        yield f"env.products={source.products}: must be 1 or more, or null for all of env.data"
    if source.data is not None:
        try:
            official.locate(Path(source.data), source.products, source.instructions)
        except ConfigError as error:
            yield from error.faults


@lru_cache(maxsize=4)
def open_market(source: Source) -> Market:
    """Read or generate the catalogue, or open what an earlier process built of it.

    Raises:
        ConfigError: files or packages are missing.
        DataError: files that cannot be read, or hold no instruction for any of the products.
        MachineError: the index cannot be written.
    """
    found = list(faults(source))
    if found:
        raise ConfigError(found)
    catalogue, searcher, goals = _generated(source) if source.data is None else _stored(source, Path(source.data))
    if not goals:
        raise DataError(f"env.data={source.data!r}: no {source.instructions} instruction is for any of its products")
    return Market(catalogue, searcher, goals, tagger(source.tagger))


def _generated(source: Source) -> tuple[Catalogue, Searcher, Goals]:
    from depo_lightning.envs.webshop.generate import listings
    from depo_lightning.envs.webshop.generate.wishes import annotation, wish
    from depo_lightning.envs.webshop.index import build_shop

    assert source.products is not None
    seed, skipped, name = source.catalogue_seed, Counter[str](), "generated catalogue"
    offered = list(listings(source.products, seed))
    annotations = {listing.asin: annotation(listing, seed) for listing in offered}
    records = (listing.item for listing in offered)
    shop = build_shop(official.read_products(records, annotations, skipped, name))
    human = source.instructions is Instructions.human
    content = {listing.asin: [wish(listing, seed)] for listing in offered} if human else annotations
    told = list(official.read_instructions(content, shop.catalogue, source.instructions, skipped, name))
    goals = Goals(shop.catalogue, told, numbered(shop.catalogue, told, source.instructions))
    return shop.catalogue, shop.searcher, goals


def _stored(source: Source, folder: Path) -> tuple[Catalogue, Searcher, Goals]:
    from depo_lightning.envs.webshop.index import open_shop
    from depo_lightning.envs.webshop.stored_goals import open_goals

    files = official.locate(folder, source.products, source.instructions)
    stands_for = fingerprint(files.products, files.annotations, count=source.products)
    index = Path(source.index or folder / "index") / stands_for[:12]

    def products() -> Iterator[Product]:
        skipped: official.Skipped = Counter()
        annotations = official.read_json(files.annotations)
        records = official.stream_json(files.products, source.products)
        yield from official.read_products(records, annotations, skipped, files.products.name)
        _report(files.products, skipped, Path(f"{index}.{files.products.stem}.skipped.json"))

    shop = open_shop(index, stands_for, products)
    path = files.told(source.instructions)

    def told() -> list[Instruction]:
        skipped, content = Counter[str](), official.read_json(path)
        found = official.read_instructions(content, shop.catalogue, source.instructions, skipped, path.name)
        instructions = list(found)
        _report(path, skipped, Path(f"{index}.{path.stem}.skipped.json"))
        return instructions

    goals_of = f"{stands_for} {fingerprint(path)}"
    goals = open_goals(Path(f"{index}.{path.stem}.goals"), goals_of, shop.catalogue, source.instructions, told)
    return shop.catalogue, shop.searcher, goals


def fingerprint(*files: Path, count: int | None = None) -> str:
    """A hash that changes with files (names, sizes, times), and with how many of their products are taken."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([stats, count]).encode()).hexdigest()


def _report(source: Path, skipped: official.Skipped, record: Path) -> None:
    """Log what was passed over, unless an earlier process did and left its record."""
    content = json.dumps(skipped, indent=1, sort_keys=True) + "\n"
    if record.is_file() and record.read_text() == content:
        return
    for what, count in sorted(skipped.items()):
        if count:
            log.warning("%s: %d %s", source, count, what)
    with suppress(MachineError):  # an index that is shared may be read-only
        write_atomic(record, content)
