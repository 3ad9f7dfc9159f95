"""A catalogue and its search index in a folder: built once, then opened in no time, whatever the number of products.

Nothing is read on opening but the search vocabulary and the ids; products are decoded when somebody looks at them,
postings are memory-mapped, so processes that open one folder share its pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from depo_lightning.envs.webshop.bm25 import Bm25Searcher
from depo_lightning.envs.webshop.catalogue import Catalogue, Product
from depo_lightning.envs.webshop.kept import Lines, kept, line_writer
from depo_lightning.envs.webshop.search import Searcher, document

_FORMAT = 1  # of the folder; another number, another fingerprint
_PRODUCTS, _STARTS, _SORTED = "products.jsonl", "starts.npy", "sorted_ids.npy"
_DECODED = 4096  # products kept decoded per process


@dataclass(frozen=True, slots=True)
class Shop:
    """Products, and how to find them."""

    catalogue: Catalogue
    searcher: Searcher


class StoredCatalogue(Mapping[str, Product]):
    """A catalogue on the disk: a mapping from id to product in the order in which the products were stored."""

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder / _PRODUCTS, folder / _STARTS)
        self._sorted = np.load(folder / _SORTED, mmap_mode="r").view(np.ndarray)
        self._product = lru_cache(maxsize=_DECODED)(self._decode)

    def __len__(self) -> int:
        return len(self._lines)

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
        return _product(self._lines[place])


def build_shop(products: Iterable[Product]) -> Shop:
    """Catalogue and search index in memory."""
    catalogue = {product.asin: product for product in products}
    return Shop(catalogue, Bm25Searcher.from_texts((asin, document(p)) for asin, p in catalogue.items()))


def open_shop(folder: Path, fingerprint: str, products: Callable[[], Iterable[Product]]) -> Shop:
    """The shop that `folder` keeps (see `kept`).

    Args:
        folder: its parent must be writable where the shop is yet to be stored.
        fingerprint: stands for the data that `products` reads.
        products: called once, and only to store; each id once. They are never all in memory.

    Raises:
        MachineError: the folder cannot be written.
    """
    about = {"format": _FORMAT, "data": fingerprint}
    return kept(folder, about, _open, lambda target: _store(target, products()), "the shop's index")


def _open(folder: Path) -> Shop:
    return Shop(StoredCatalogue(folder), Bm25Searcher.load(folder))


def _store(folder: Path, products: Iterable[Product]) -> None:
    ids: list[str] = []
    with line_writer(folder / _PRODUCTS, folder / _STARTS) as write:

        def documents() -> Iterator[tuple[str, str]]:
            for product in products:
                write(asdict(product))
                ids.append(product.asin)
                yield product.asin, document(product)

        Bm25Searcher.from_texts(documents()).save(folder)
    table = np.zeros(len(ids), dtype=[("asin", "S10"), ("place", np.int32)])
    table["asin"], table["place"] = ids, np.arange(len(ids))
    np.save(folder / _SORTED, np.sort(table, order="asin"))


def _product(values: dict[str, Any]) -> Product:
    lists = {name: tuple(values[name]) for name in ("bullets", "prices", "attributes")}
    options = {name: tuple(choices) for name, choices in values["options"].items()}
    return Product(**{**values, **lists, "options": options})
