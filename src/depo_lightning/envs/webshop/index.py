"""A catalogue and its search index in a folder: built once, then opened in no time, whatever the number of products.

Nothing is read on opening but the search vocabulary and the ids; products are decoded when somebody looks at them,
postings are memory-mapped, so processes that open one folder share its pages.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from filelock import FileLock

from depo_lightning.envs.webshop.bm25 import Bm25Searcher
from depo_lightning.envs.webshop.catalogue import Catalogue, Product
from depo_lightning.envs.webshop.search import Searcher, document
from depo_lightning.files import machine_faults

log = logging.getLogger(__name__)
_FORMAT = 1  # of the folder; another number, another fingerprint
_PRODUCTS, _STARTS, _SORTED, _ABOUT = "products.jsonl", "starts.npy", "sorted_ids.npy", "about.json"
_DECODED = 4096  # products kept decoded per process


@dataclass(frozen=True, slots=True)
class Shop:
    """Products, and how to find them."""

    catalogue: Catalogue
    searcher: Searcher


class StoredCatalogue(Mapping[str, Product]):
    """A catalogue on the disk: a mapping from id to product in the order in which the products were stored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts = np.load(folder / _STARTS, mmap_mode="r")
        self._sorted = np.load(folder / _SORTED, mmap_mode="r")
        self._lines = np.memmap(folder / _PRODUCTS, mode="r") if len(self) else np.zeros(0, np.uint8)
        if len(self._lines) != self._starts[-1]:
            raise ValueError(f"{_PRODUCTS} has {len(self._lines)} bytes, {_STARTS} tells of {self._starts[-1]}")
        self._product = lru_cache(maxsize=_DECODED)(self._decode)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[str]:
        ids = self._sorted["asin"][np.argsort(self._sorted["place"])]
        return (asin.decode() for asin in ids.tolist())

    def __getitem__(self, asin: str) -> Product:
        ids = self._sorted["asin"]
        key = asin.encode()
        found = int(np.searchsorted(ids, key))
        if found == len(ids) or ids[found] != key:
            raise KeyError(asin)
        return self._product(int(self._sorted["place"][found]))

    def _decode(self, place: int) -> Product:
        line = self._lines[int(self._starts[place]) : int(self._starts[place + 1])].tobytes()
        return _product(json.loads(line))


def build_shop(products: Iterable[Product]) -> Shop:
    """Catalogue and search index in memory."""
    catalogue = {product.asin: product for product in products}
    return Shop(catalogue, Bm25Searcher.from_texts((asin, document(p)) for asin, p in catalogue.items()))


def open_shop(folder: Path, fingerprint: str, products: Callable[[], Iterable[Product]]) -> Shop:
    """The shop stored in `folder`; stored there first if it is not, if it was made from other data, or is damaged.

    Processes that ask at the same time wait for the one that stores; an interrupted one leaves nothing behind that
    another would take for a shop.

    Args:
        folder: its parent must be writable where the shop is yet to be stored.
        fingerprint: stands for the data that `products` reads.
        products: called once, and only to store; each id once. They are never all in memory.

    Raises:
        MachineError: the folder cannot be written.
    """
    about = {"format": _FORMAT, "data": fingerprint}
    shop = _opened(folder, about)
    if shop is None:
        with machine_faults("the shop's index cannot be stored", folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                shop = _opened(folder, about)
                if shop is None:
                    if _about(folder) == about:
                        log.warning("%s: the shop's index is damaged; it is built anew", folder)
                    _store(folder, about, products())
    return shop or _open(folder)


def _open(folder: Path) -> Shop:
    return Shop(StoredCatalogue(folder), Bm25Searcher.load(folder))


def _opened(folder: Path, about: Any) -> Shop | None:
    """The shop stored in `folder`; None if there is none, or one of other data, or one that cannot be read."""
    if _about(folder) != about:
        return None
    try:
        return _open(folder)
    except (OSError, EOFError, KeyError, ValueError):
        return None


def _about(folder: Path) -> Any:
    try:
        return json.loads((folder / _ABOUT).read_text())
    except (OSError, json.JSONDecodeError):
        return None


def _store(folder: Path, about: dict[str, Any], products: Iterable[Product]) -> None:
    unfinished = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        starts, ids = [0], []

        def documents() -> Iterator[tuple[str, str]]:
            with (unfinished / _PRODUCTS).open("wb") as lines:
                for product in products:
                    starts.append(starts[-1] + lines.write(_line(product)))
                    ids.append(product.asin)
                    yield product.asin, document(product)

        Bm25Searcher.from_texts(documents()).save(unfinished)
        np.save(unfinished / _STARTS, np.array(starts, dtype=np.int64))
        table = np.zeros(len(ids), dtype=[("asin", "S10"), ("place", np.int32)])
        table["asin"], table["place"] = ids, np.arange(len(ids))
        np.save(unfinished / _SORTED, np.sort(table, order="asin"))
        (unfinished / _ABOUT).write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _line(product: Product) -> bytes:
    return json.dumps(asdict(product), ensure_ascii=False).encode() + b"\n"


def _product(values: dict[str, Any]) -> Product:
    lists = {name: tuple(values[name]) for name in ("bullets", "prices", "attributes")}
    options = {name: tuple(choices) for name, choices in values["options"].items()}
    return Product(**{**values, **lists, "options": options})
