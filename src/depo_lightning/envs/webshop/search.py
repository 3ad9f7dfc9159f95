"""What the environment asks of a search engine, and what an engine may read of a product."""

from __future__ import annotations

from typing import Protocol

from depo_lightning.envs.webshop.catalogue import Product

RESULTS = 50  # products a search returns at most


class Searcher(Protocol):
    """Full-text search over one catalogue; deterministic, safe to share between episodes."""

    def search(self, query: str, limit: int) -> list[str]:
        """Ids of the products that match, best first, at most `limit`; none for a query without a known word."""
        ...


def document(product: Product) -> str:
    """The text that stands for a product in the index: title, description, first feature and options, lower-case."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    return " ".join((product.name, product.description, *product.bullets[:1], options)).lower()
