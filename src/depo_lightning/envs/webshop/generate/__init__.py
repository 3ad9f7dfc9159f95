"""A shop of our own making, in the format of WebShop's public data files: any number of products from a seed."""

from depo_lightning.envs.webshop.generate.listings import Listing, listings
from depo_lightning.envs.webshop.generate.wishes import write_files

__all__ = ["Listing", "listings", "write_files"]
