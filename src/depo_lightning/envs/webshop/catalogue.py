"""What a shop sells: products, and catalogues of them, in memory a dictionary, on the disk `index.StoredCatalogue`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NO_PRICE = 100.0  # dollars; what the reference asks for a product that states no price


@dataclass(frozen=True, slots=True)
class Product:
    """One product, as its pages show it and the reward reads it.

    Attributes:
        asin: the id, upper-case, at most ten characters.
        name: the title.
        category: the department ("beauty").
        query: the search that found it on the original site, lower-case ("women's sandals").
        product_category: path of categories, joined by " › ".
        description: running text.
        bullets: the feature list.
        prices: dollars; one price, or the two ends of a range. Empty means that none is stated.
        options: what the buyer chooses, name to values, both lower-case, in the order of the page.
        attributes: what the product is annotated with ("machine wash").
        price: what a buyer pays, dollars: the price stated, or one drawn from the range.
    """

    asin: str
    name: str
    category: str
    query: str
    product_category: str
    description: str
    bullets: tuple[str, ...]
    prices: tuple[float, ...]
    options: Mapping[str, tuple[str, ...]]
    attributes: tuple[str, ...]
    price: float = NO_PRICE

    @property
    def price_tag(self) -> str:
        """The price as the pages print it."""
        return " to ".join(f"${price}" for price in self.prices or (NO_PRICE,))


Catalogue = Mapping[str, Product]  # in the order of the data file, which numbers the goals
