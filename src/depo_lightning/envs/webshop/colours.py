"""The colour words by which WebShop compares options; the order decides, since the first one found counts."""

from __future__ import annotations

COLOURS = tuple(
    """
    alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo
    caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream
    crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather
    indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha
    multicolor mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal
    rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise
    violet walnut wheat white wine yellow
    """.split()  # noqa: SIM905
)


def first_colour(option: str | tuple[str, str]) -> str | tuple[str, str]:
    """The first of `COLOURS` that is part of a text, or that equals one of a pair's two texts; else the option."""
    return next((colour for colour in COLOURS if colour in option), option)
