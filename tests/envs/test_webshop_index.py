"""Shops stored in a folder: the same as in memory, stored once, and never half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.webshop_search import _product

from depo_lightning.envs.webshop.catalogue import Product
from depo_lightning.envs.webshop.generate import listings
from depo_lightning.envs.webshop.index import build_shop, open_shop

QUERIES = ("running shoes", "easy clean face cream for dry skin", "rug", "nothing-like-this")


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return [_product(listing.item, listing.attributes) for listing in listings(120)]


def never() -> Iterator[Product]:
    raise AssertionError("the shop is stored already")


def test_a_stored_shop_is_the_one_in_memory(tmp_path: Path, products: list[Product]) -> None:
    inside = build_shop(products)
    open_shop(tmp_path / "shop", "data", lambda: products)
    stored = open_shop(tmp_path / "shop", "data", never)
    assert list(stored.catalogue) == list(inside.catalogue)
    assert list(stored.catalogue.values()) == products
    assert len(stored.catalogue) == 120
    for query in QUERIES:
        assert stored.searcher.search(query, 50) == inside.searcher.search(query, 50)
    with pytest.raises(KeyError):
        stored.catalogue["B000000000"]
    assert "ZZZZ" not in stored.catalogue


def test_other_data_is_stored_anew(tmp_path: Path, products: list[Product]) -> None:
    open_shop(tmp_path / "shop", "data", lambda: products)
    changed = open_shop(tmp_path / "shop", "other data", lambda: products[:7])
    assert list(changed.catalogue) == [product.asin for product in products[:7]]


def test_an_interrupted_store_leaves_no_shop(tmp_path: Path, products: list[Product]) -> None:
    def breaks() -> Iterator[Product]:
        yield products[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_shop(tmp_path / "shop", "data", breaks)
    assert [path.name for path in tmp_path.iterdir()] == ["shop.lock"]
    assert len(open_shop(tmp_path / "shop", "data", lambda: products).catalogue) == 120


def test_a_broken_note_is_no_shop(tmp_path: Path, products: list[Product]) -> None:
    open_shop(tmp_path / "shop", "data", lambda: products)
    (tmp_path / "shop/about.json").write_text("{")
    assert len(open_shop(tmp_path / "shop", "data", lambda: products[:5]).catalogue) == 5
    assert json.loads((tmp_path / "shop/about.json").read_text())["data"] == "data"


@pytest.mark.parametrize("name", ["products.jsonl", "starts.npy", "sorted_ids.npy", "ids.npy"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_damaged_index_is_built_anew(
    tmp_path: Path, products: list[Product], caplog: pytest.LogCaptureFixture, name: str, left: int
) -> None:
    open_shop(tmp_path / "shop", "data", lambda: products)
    damaged = tmp_path / "shop" / name
    damaged.write_bytes(damaged.read_bytes()[:left])
    assert list(open_shop(tmp_path / "shop", "data", lambda: products).catalogue.values()) == products
    assert caplog.messages == [f"{tmp_path / 'shop'}: the shop's index is damaged; it is built anew"]
    assert list(open_shop(tmp_path / "shop", "data", never).catalogue.values()) == products
