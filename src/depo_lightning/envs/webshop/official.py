"""WebShop's data files: where they lie, what they hold, and what of it cannot be used.

`items_shuffle.json` products, a list; `items_ins_v2.json` id → attributes and a synthetic instruction; and
`items_human_ins.json` id → instructions by people. The first two exist with `_1000` in their names, for the first
thousand products. What the reference would stumble over (a price without digits, an id in lower case) is passed over
and counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from depo_lightning.choices import Instructions
from depo_lightning.envs.webshop.catalogue import NO_PRICE, Catalogue, Product
from depo_lightning.envs.webshop.goals import SEED, Instruction
from depo_lightning.errors import ConfigError, DataError

SMALL = 1000  # products of the small files
RECIPE = (
    "the small files and the instructions by people lie in github.com/WooooDyy/AgentGym under "
    "agentenv-webshop/webshop/data, the links to the full ones in setup.sh of github.com/princeton-nlp/WebShop"
)
_LONGEST_ID = 10
_NO_ATTRIBUTES = ("DUMMY_ATTR",)  # what the reference gives to a product that is not annotated
_TEXTS = ("name", "category", "query", "product_category", "full_description")

Skipped = Counter[str]  # what was passed over → how often


@dataclass(frozen=True, slots=True)
class Files:
    """The data files of a catalogue."""

    products: Path
    annotations: Path
    human: Path

    def told(self, kind: Instructions) -> Path:
        """The file that holds the instructions."""
        return self.human if kind is Instructions.human else self.annotations


def locate(folder: Path, count: int | None, kind: Instructions) -> Files:
    """The files to read for the first `count` products (None: all).

    Raises:
        ConfigError: the folder or a file is missing; all faults at once.
    """
    if not folder.is_dir():
        raise ConfigError(f"env.data={str(folder)!r}: no such folder; {RECIPE}")
    small = count is not None and count <= SMALL and (folder / f"items_shuffle_{SMALL}.json").is_file()
    suffix = f"_{SMALL}" if small else ""
    files = Files(
        products=folder / f"items_shuffle{suffix}.json",
        annotations=folder / f"items_ins_v2{suffix}.json",
        human=folder / "items_human_ins.json",
    )
    needed = [files.products, files.annotations, *([files.human] if kind is Instructions.human else [])]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise ConfigError([f"env.data={str(folder)!r}: it holds no {name}; {RECIPE}" for name in missing])
    return files


def read_products(
    records: Iterable[Any], annotations: Mapping[str, Any], skipped: Skipped, source: str
) -> Iterator[Product]:
    """Products from their records, in order; prices are drawn on the way.

    Args:
        records: entries of the products file.
        annotations: content of the annotations file.
        skipped: counts what is passed over.
        source: the file's name, for messages.

    Raises:
        DataError: a record without one of the fields a product needs.
    """
    seen: set[str] = set()
    draw = Random(SEED)
    for number, record in enumerate(records, start=1):
        try:
            asin = record["asin"]
            fault = _id_fault(asin, seen)
            if fault:
                skipped[fault] += 1
                continue
            seen.add(asin)
            yield _product(record, annotations.get(asin, {}), draw, skipped)
        except (AttributeError, KeyError, TypeError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else f"a field of the wrong type ({error})"
            raise DataError(f"{source}: record {number}: {what}; expected a product of WebShop's data") from error


def read_instructions(
    content: Mapping[str, Any], catalogue: Catalogue, kind: Instructions, skipped: Skipped, source: str
) -> Iterator[Instruction]:
    """Instructions in the order of the catalogue, as the reference takes them from the annotations or from people.

    Raises:
        DataError: an instruction without its text or attributes.
    """
    human = kind is Instructions.human
    offered = dict.fromkeys(catalogue)
    skipped["instructions for a product that the catalogue lacks"] += sum(
        len(entry) if human else int("instruction" in entry) for asin, entry in content.items() if asin not in offered
    )
    for asin in offered:
        entry = content.get(asin)
        if entry is None or (not human and entry.get("instruction") is None):
            continue
        for place, one in enumerate(entry if human else [entry], start=1):
            try:
                attributes = tuple(one["instruction_attributes"])
                options = tuple(one["instruction_options"]) if human else None
                if attributes:
                    yield Instruction(asin, one["instruction"], attributes, options)
                else:
                    skipped["instructions without attributes"] += 1
            except (KeyError, TypeError) as error:
                what = f"{source}: {asin}: instruction {place}: no proper {error}; expected WebShop's data"
                raise DataError(what) from error


def read_json(path: Path) -> Any:
    """A whole file.

    Raises:
        DataError: it is truncated or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no complete JSON ({error}); fetch it again: {RECIPE}") from error


def stream_json(path: Path, count: int | None) -> Iterator[Any]:
    """The first `count` entries of a file that holds one list, without holding it all.

    Raises:
        DataError: it is truncated or no JSON.
    """
    import ijson

    with path.open("rb") as file:
        try:
            for number, entry in enumerate(ijson.items(file, "item", use_float=True)):
                if number == count:
                    return
                yield entry
        except ijson.JSONError as error:
            what = " ".join(str(error).split())
            raise DataError(f"{path}: no complete JSON ({what}); fetch it again: {RECIPE}") from error


def _id_fault(asin: str, seen: set[str]) -> str | None:
    if asin == "nan" or len(asin) > _LONGEST_ID:
        return "products without a proper id"
    if asin in seen:
        return "products with the id of an earlier one"
    return "products whose id is not in upper case" if asin != asin.upper() else None


def _product(record: Mapping[str, Any], annotation: Mapping[str, Any], draw: Random, skipped: Skipped) -> Product:
    name, category, query, product_category, description = (record[field] or "" for field in _TEXTS)
    bullets = record["small_description"]
    prices = _prices(record.get("pricing"), skipped)
    return Product(
        asin=record["asin"],
        name=name,
        category=category,
        query=query.lower().strip(),
        product_category=product_category,
        description=description,
        bullets=tuple(one or "" for one in (bullets if isinstance(bullets, list) else [bullets])),
        prices=prices,
        options=dict(_options(record["customization_options"] or {})),
        attributes=tuple(annotation.get("attributes", _NO_ATTRIBUTES)),
        price=draw.uniform(*prices) if len(prices) > 1 else (prices or (NO_PRICE,))[0],
    )


def _prices(stated: str | None, skipped: Skipped) -> tuple[float, ...]:
    """The first two dollar amounts in a text such as "$1,099.00 - $1,299.00"."""
    amounts = [re.sub(r"[^\d.]", "", part) for part in (stated or "").split("$")[1:]]
    try:
        found = tuple(float(amount) for amount in amounts[:2])
    except ValueError:
        found = ()
    if not found:
        skipped[f"prices not stated or not readable (${NO_PRICE:.0f} is asked)"] += 1
    return found


def _options(stated: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, contents in stated.items():
        if contents is not None:
            yield name.lower(), tuple(one["value"].strip().replace("/", " | ").lower() for one in contents)
