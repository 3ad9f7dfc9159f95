"""WebShop's data files: where they lie, what they hold, and what of it cannot be used.

`items_shuffle.json` products, a list; `items_ins_v2.json` id → attributes and a synthetic instruction; and
`items_human_ins.json` id → instructions by people. The first two exist with `_1000` in their names, for the first
thousand products. What the reference would stumble over (a price without digits, an id in lower case) is passed over
and counted.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from depo_lightning.choices import Instructions
from depo_lightning.envs.webshop import fields
from depo_lightning.envs.webshop.catalogue import NO_PRICE, Catalogue, Product
from depo_lightning.envs.webshop.goals import SEED, Instruction
from depo_lightning.errors import ConfigError, DataError

SMALL = 1000  # products of the small files
RECIPE = (
    "the small files and the instructions by people lie in github.com/WooooDyy/AgentGym under "
    "agentenv-webshop/webshop/data, the links to the full ones in setup.sh of github.com/princeton-nlp/WebShop"
)
_REMEDY = "mend it, or fetch the file again"
_LONGEST_ID = 10
_START = 64  # bytes that are looked at before a file is read
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
        DataError: a record, or its annotation, without one of the fields a product needs, or with one of another type.
    """
    seen: set[str] = set()
    draw = Random(SEED)
    for number, found in enumerate(records, start=1):
        try:
            record = fields.entry(found, "it")
            asin = fields.text(record, "asin")
            fault = _id_fault(asin, seen)
            if fault:
                skipped[fault] += 1
                continue
            seen.add(asin)
            annotation = fields.entry(annotations.get(asin, {}), f"the annotation of {asin}")
            product = _product(record, annotation, draw, skipped)
        except fields.FieldFault as error:
            raise DataError(f"{source}: record {number}: {error}; {_REMEDY}") from error
        yield product


def read_instructions(
    content: Mapping[str, Any], catalogue: Catalogue, kind: Instructions, skipped: Skipped, source: str
) -> Iterator[Instruction]:
    """Instructions in the order of the catalogue, as the reference takes them from the annotations or from people.

    Raises:
        DataError: an instruction without its text or attributes, or with something else in their place.
    """
    human = kind is Instructions.human
    offered = dict.fromkeys(catalogue)
    absent = (_told(content, asin, human, source) for asin in content if asin not in offered)
    skipped["instructions for a product that the catalogue lacks"] += sum(map(len, absent))
    for asin in offered:
        for place, one in enumerate(_told(content, asin, human, source), start=1):
            try:
                record = fields.entry(one, "it")
                attributes = fields.texts(record, "instruction_attributes")
                options = fields.texts(record, "instruction_options") if human else None
                instruction = Instruction(asin, fields.text(record, "instruction"), attributes, options)
            except fields.FieldFault as error:
                raise DataError(f"{source}: {asin}: instruction {place}: {error}; {_REMEDY}") from error
            if attributes:
                yield instruction
            else:
                skipped["instructions without attributes"] += 1


def read_json(path: Path) -> Mapping[str, Any]:
    """A whole file that holds one object, product id → what is told of it.

    Raises:
        DataError: it is truncated, no JSON or no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no complete JSON ({error}); fetch it again: {RECIPE}") from error
    try:
        return fields.entry(content, "it")
    except fields.FieldFault as error:
        raise DataError(f"{path}: {error}, product id → what is told of it; {RECIPE}") from error


def stream_json(path: Path, count: int | None) -> Iterator[Any]:
    """The first `count` entries of a file that holds one list, without holding it all.

    Raises:
        DataError: it is truncated, no JSON or no list.
    """
    import ijson

    with path.open("rb") as file:
        start = file.read(_START)
        mark = len(BOM_UTF8) if start.startswith(BOM_UTF8) else 0
        if start[mark:].strip() and not start[mark:].lstrip().startswith(b"["):
            raise DataError(f"{path}: it begins with {start[mark:][:20]!r}; expected a list of products; {RECIPE}")
        file.seek(mark)
        try:
            for number, entry in enumerate(ijson.items(file, "item", use_float=True)):
                if number == count:
                    return
                yield entry
        except ijson.JSONError as error:
            what = " ".join(str(error).split())
            raise DataError(f"{path}: no complete JSON ({what}); fetch it again: {RECIPE}") from error


def _id_fault(asin: str, seen: set[str]) -> str | None:
    if asin in ("", "nan") or len(asin) > _LONGEST_ID or not asin.isascii():
        return "products without a proper id"
    if asin in seen:
        return "products with the id of an earlier one"
    return "products whose id is not in upper case" if asin != asin.upper() else None


def _told(content: Mapping[str, Any], asin: str, human: bool, source: str) -> list[Any]:
    """What may be instructions for one product."""
    found = content.get(asin)
    try:
        if found is None:
            return []
        if human:
            return fields.entries(found, "the list of its instructions")
        return [found] if fields.entry(found, "its annotation").get("instruction") is not None else []
    except fields.FieldFault as error:
        raise DataError(f"{source}: {asin}: {error}; {_REMEDY}") from error


def _product(record: Mapping[str, Any], annotation: Mapping[str, Any], draw: Random, skipped: Skipped) -> Product:
    name, category, query, product_category, description = (fields.text(record, field) for field in _TEXTS)
    prices = _prices(fields.text(record, "pricing") if "pricing" in record else "", skipped)
    return Product(
        asin=record["asin"],
        name=name,
        category=category,
        query=query.lower().strip(),
        product_category=product_category,
        description=description,
        bullets=_bullets(record),
        prices=prices,
        options=dict(_options(record)),
        attributes=fields.texts(annotation, "attributes") if "attributes" in annotation else _NO_ATTRIBUTES,
        price=draw.uniform(*prices) if len(prices) > 1 else (prices or (NO_PRICE,))[0],
    )


def _bullets(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The feature list, which may be one text; null is an empty one."""
    stated = record.get("small_description")
    if not isinstance(stated, list):
        return (fields.text(record, "small_description"),)
    return fields.texts({"small_description": ["" if one is None else one for one in stated]}, "small_description")


def _prices(stated: str, skipped: Skipped) -> tuple[float, ...]:
    """The first two dollar amounts in a text such as "$1,099.00 - $1,299.00"."""
    amounts = [re.sub(r"[^\d.]", "", part) for part in stated.split("$")[1:]]
    try:
        found = tuple(float(amount) for amount in amounts[:2])
    except ValueError:
        found = ()
    if not found:
        skipped[f"prices not stated or not readable (${NO_PRICE:.0f} is asked)"] += 1
    return found


def _options(record: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    what = "customization_options"
    if what not in record:
        raise fields.FieldFault(f"no field {what!r}")
    for name, contents in fields.entry(record[what] or {}, f"field {what!r}").items():
        if contents is not None:
            choices = [
                fields.entry(one, f"a value of option {name!r}") for one in fields.entries(contents, f"option {name!r}")
            ]
            values = (fields.text(one, "value") for one in choices)
            yield name.lower(), tuple(value.strip().replace("/", " | ").lower() for value in values)
