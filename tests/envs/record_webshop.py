"""Record random play and random purchases in AgentGym's own WebShop, as the yardstick of `test_webshop_golden.py`.

Run it in an environment of its own, with this project beside what the reference rests on:

    python3.11 -m venv refvenv
    refvenv/bin/pip install -e ".[webshop]" "Flask==2.1.2" "Werkzeug<3" "beautifulsoup4==4.11.1" "thefuzz==0.19.0" \
        python-Levenshtein tqdm
    git clone https://github.com/WooooDyy/AgentGym
    refvenv/bin/python tests/envs/record_webshop.py AgentGym tests/envs/golden/webshop.jsonl.gz

The reference reads files that this project generates, with some odd products added. Its search is ours, its tagger
returns our nouns, and its random generator, which it seeds only after drawing prices, is seeded before; all else is
its own. The first line of the recording holds the files, the nouns and the search results; then come episodes and
purchases, a line each.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import random
import sys
import tempfile
import types
from functools import lru_cache
from pathlib import Path
from typing import Any

NAMES = ("items_shuffle.json", "items_ins_v2.json", "items_human_ins.json")
SEED = 233  # the reference's
ODDITIES = (
    "",
    "search[]",
    "search[ ]",
    "search[ tea  bags ]",
    "click[]",
    "click[search]",
    "Search[tea]",
    "search tea",
    "click[Back to Search",
    "click[BUY NOW] now",
    "search[shoes] or search[tea]",
    "search[shoes]]",
    "buy now",
    "click[nothing here]",
    "search[item_page shoes]",
    "search[search_results shoes]",
    "search[done]",
    "search[tea\nshoes]",
    "think[which one?]",
    "click[< prev]",
    "click[next >]",
    "click[attributes]",
)


def odd_products() -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Products, annotations and human instructions that try the corners of the format."""
    tried: list[dict[str, Any]] = [
        {"name": 'Tom & Jerry\'s <b>"Best"</b> Shoes &amp; More', "pricing": "$12"},
        {"name": "  Blank ends tea  ", "full_description": " \n ", "small_description": "one text only"},
        {"name": "Nothing said shoes", "full_description": "", "small_description": ["", "  ", "\n", "a\nb"]},
        {"name": "No price tea", "pricing": None},
        {"name": "Empty price tea", "pricing": ""},
        {"name": "Three prices shoes", "pricing": "$1,005.00 - $1,299.50 $7"},
        {"name": "Dear shoes", "pricing": "$985.99"},
        {"name": "Very dear tea", "pricing": "$2500"},
        {"name": "Café thé — 日本 ‹tea› ½", "full_description": "ünïcode\u00a0blank \u2003 and ‘quotes’"},
        {
            "name": "Options shoes",
            "customization_options": {
                "Color": [{"value": " Light Blue/White "}, {"value": "black"}, {"value": "N/"}],
                "Style": [{"value": "black"}, {"value": "description"}, {"value": "o'<&>\" ü"}],
                "size": None,
            },
        },
        {
            "name": "Buttons tea",
            "customization_options": {
                "key": [{"value": "next >"}, {"value": "< prev"}, {"value": "attributes"}, {"value": "back to search"}],
                "more": [{"value": ""}, {"value": "a  b"}, {"value": "search_results"}, {"value": "x"}],
            },
        },
        {"name": "No options tea", "customization_options": ""},
        {"name": "12 24 36", "query": "Shoes ", "product_category": "A › B › C"},
        {"name": "Seen before", "asin": "ODD0000001"},
        {"name": "Bad id", "asin": "ODD00000000000"},
        {"name": "No id", "asin": "nan"},
    ]
    plain = {
        "category": "grocery",
        "query": "tea bags",
        "product_category": "Grocery › Beverages › Tea",
        "full_description": "Some tea, or some shoes.",
        "small_description": ["first", "second & third"],
        "pricing": "$5.00",
        "customization_options": {},
        "images": ["none"],
    }
    products = [plain | {"asin": f"ODD{number:07}"} | one for number, one in enumerate(tried)]
    wanted = {"attributes": ["easy clean", "rubber sole"], "instruction_attributes": ["easy clean", "tea"]}
    notes = {one["asin"]: wanted | {"instruction": f"Find me {one['name']}"} for one in products[:13]}
    notes["ODD0000004"] = {"attributes": []} | {"instruction": "Find tea", "instruction_attributes": ["cheap"]}
    told = {
        asin: [
            {"asin": asin, "instruction": "i want it..", "instruction_attributes": chosen, "instruction_options": texts}
            for chosen, texts in ((["easy clean"], ["black", "size: 9"]), ([], []), (["tea", "first"], []))
        ]
        for asin in (*list(notes)[:11], "ABSENT0001")
    }
    return products, notes, told


def write_data(folder: Path, count: int) -> None:
    """The data files: `count` generated products, and the odd ones."""
    from depo_lightning.envs.webshop.generate import write_files

    write_files(folder, count)
    contents = [json.loads((folder / name).read_text()) for name in NAMES]
    products, notes, told = odd_products()
    contents[0] += products
    contents[1] |= notes | {product["asin"]: {"attributes": []} for product in products if product["asin"] not in notes}
    contents[2] |= told
    for name, content in zip(NAMES, contents, strict=True):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))


def load_reference(checkout: Path, data: Path, searcher: Any, nouns: Any) -> types.SimpleNamespace:
    """The reference's modules, with stand-ins for what this comparison does not want or need."""

    class Search:
        def __init__(self, path: str) -> None:
            pass

        def search(self, query: str, k: int) -> list[Any]:
            return [types.SimpleNamespace(docid=asin) for asin in searcher.search(query, k)]

        def doc(self, docid: str) -> Any:
            return types.SimpleNamespace(raw=lambda: json.dumps({"id": docid}))

    def parse(title: str) -> list[Any]:
        return [types.SimpleNamespace(text=word, pos_="NOUN") for word in nouns(title)]

    root = checkout / "agentenv-webshop" / "webshop"
    sys.path.insert(0, str(root))
    for name in ("cleantext", "torch", "gym", "rank_bm25", "spacy", "pyserini", "pyserini.search"):
        sys.modules[name] = types.ModuleType(name)
    lucene, envs = types.ModuleType("pyserini.search.lucene"), types.ModuleType("web_agent_site.envs")
    lucene.LuceneSearcher = Search
    envs.__path__ = [str(root / "web_agent_site" / "envs")]  # its __init__ would import a browser
    sys.modules |= {lucene.__name__: lucene, envs.__name__: envs}
    sys.modules["rank_bm25"].BM25Okapi = None
    sys.modules["gym"].Env = object
    sys.modules["spacy"].load = lambda name: parse
    import web_agent_site.utils as utils

    utils.DEFAULT_FILE_PATH, utils.DEFAULT_ATTR_PATH, utils.HUMAN_ATTR_PATH = (str(data / name) for name in NAMES)
    import web_agent_site.engine.goal as goal
    import web_agent_site.envs.web_agent_text_env as text_env

    text_env.BeautifulSoup = lru_cache(maxsize=4)(text_env.BeautifulSoup)  # it parses every page five times
    text_env.app.jinja_env.from_string = lru_cache(text_env.app.jinja_env.from_string)  # and compiles every template
    return types.SimpleNamespace(reward=goal.get_reward, env=text_env.WebAgentTextEnv)


def answer_digest(observation: str, reward: float, done: bool, clickables: list[str], search_bar: bool) -> str:
    """Eight hex digits that stand for one answer of the environment."""
    answer = json.dumps([observation, float(reward), bool(done), clickables, bool(search_bar)], ensure_ascii=False)
    return hashlib.sha256(answer.encode()).hexdigest()[:8]


def choose(rng: random.Random, offered: dict[str, Any], words: list[str]) -> str:
    """An action: mostly a search or a click that leads on, sometimes a senseless one."""
    if rng.random() < 0.12:
        return rng.choice(ODDITIES)
    if offered["has_search_bar"] or rng.random() < 0.05:
        return f"search[{' '.join(rng.sample(words, rng.randint(1, 5)))}]"
    weights = [0.3 if label in ("back to search", "buy now", "< prev") else 1 for label in offered["clickables"]]
    label = rng.choices(offered["clickables"], weights)[0]
    return f"click[{label.title() if rng.random() < 0.2 else label}]"


def play(env: Any, task: int, steps: int, words: list[str], texts: bool) -> dict[str, Any]:
    """Play one task at random and describe what happened."""
    rng = random.Random(task)
    first, offered = env.reset(session=task)[0], env.get_available_actions()
    answers = [(first, 0.0, False, offered["clickables"], offered["has_search_bar"])]
    actions: list[str] = []
    while len(actions) < steps and not answers[-1][2]:
        actions.append(choose(rng, offered, words))
        observation, reward, done, _ = env.step(actions[-1].strip())
        offered = env.get_available_actions()
        answers.append((observation, reward, done, offered["clickables"], offered["has_search_bar"]))
    row: dict[str, Any] = {"task": task, "actions": actions, "digests": [answer_digest(*one) for one in answers]}
    if texts:
        row["texts"] = [text for text, *_ in answers]
    return row


def purchase(rng: random.Random, server: Any, reward: Any) -> dict[str, Any]:
    """A random purchase for a random goal, often of the right product, and what it is worth."""
    task = rng.randrange(len(server.goals))
    goal = server.goals[task]
    product = server.product_item_dict[goal["asin"]] if rng.random() < 0.4 else rng.choice(server.all_products)
    options = {name: rng.choice(values) for name, values in product["options"].items() if rng.random() < 0.8 and values}
    price = rng.choice([server.product_prices[product["asin"]], rng.uniform(1, 200), goal["price_upper"]])
    worth = reward(product, goal, price=price, options=options)
    return {"goal": task, "asin": product["asin"], "options": options, "price": price, "reward": worth}


def main() -> None:
    """Record episodes and purchases for synthetic and for human instructions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder of the AgentGym checkout")
    parser.add_argument("output", type=Path, help="golden file to write (.jsonl.gz)")
    parser.add_argument("--products", type=int, default=160, help="generated products")
    parser.add_argument("--episodes", type=int, default=260, help="episodes for each kind of instruction")
    parser.add_argument("--purchases", type=int, default=1000, help="purchases for each kind of instruction")
    parser.add_argument("--steps", type=int, default=12, help="actions per episode")
    options = parser.parse_args()
    from depo_lightning.envs.webshop import WebShopEnv

    found: dict[str, list[str]] = {}
    nouns: dict[str, list[str]] = {}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        write_data(data, options.products)
        market = WebShopEnv(data=name, products=None).market
        market.nouns.learn(product.name for product in market.catalogue.values())

        class Noted:
            def search(self, query: str, limit: int) -> list[str]:
                return found.setdefault(query, list(market.searcher.search(query, limit)))

        def noted(title: str) -> list[str]:
            return nouns.setdefault(title, list(market.nouns(title)))

        reference = load_reference(options.checkout, data, Noted(), noted)
        words = sorted({word.lower() for product in market.catalogue.values() for word in product.name.split()})
        words = [word for word in words if word.isalpha()]
        for kind in ("synthetic", "human"):
            random.seed(SEED)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                env = reference.env(observation_mode="text", human_goals=kind == "human", show_attrs=kind == "human")
                head = {"instructions": kind, "goals": len(env.server.goals)}
                step = max(1, len(env.server.goals) // options.episodes)
                for number in range(options.episodes):
                    task = number * step % len(env.server.goals)
                    rows.append(head | play(env, task, options.steps, words, texts=number < 25))
                rng = random.Random(kind)
                rows += [head | purchase(rng, env.server, reference.reward) for _ in range(options.purchases)]
        first = {"files": {name: (data / name).read_text() for name in NAMES}, "nouns": nouns, "found": found}
    lines = [json.dumps(row, ensure_ascii=False) for row in (first, *rows)]
    with gzip.GzipFile(options.output, "wb", mtime=0) as file:  # no time stamp: the same play is the same file
        file.write(("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
