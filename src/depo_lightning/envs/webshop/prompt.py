"""The instruction an agent gets, and the protocol's phrases for a tokenizer trained from scratch."""

from __future__ import annotations

SYSTEM_PROMPT = """\
You are shopping on a web site for a buyer, whose wishes stand on every page after "Instruction:". Each turn you see \
the text of the current page, its parts separated by [SEP]; you answer with one short thought and exactly one action. \
Find the product that fits the wishes best, choose the options asked for, and buy it within the price limit, in as \
few turns as you can.

Actions:
- search[keywords]: look for products. Good keywords decide what is found.
- click[value]: click a button, a product's id or an option of the page, written as it stands there.

Buttons: Next > and < Prev turn pages, Back to Search starts over, Description and Features tell more about a product, \
Buy Now buys it and ends the episode. An action that the page does not offer changes nothing.

Answer in this format and with nothing else:
Thought:
<what you conclude>

Action:
<one action>"""

_BUTTONS = ("Back to Search", "< Prev", "Next >", "Description", "Features", "Reviews", "Buy Now", "Search")
_LITERALS = (
    r"WebShop \[SEP\] Instruction: \[SEP\] ",
    r"Instruction: \[SEP\] ",
    r" \[SEP\] ",
    r" \[SEP\] Rating: N\.A\.",
    r" \[SEP\] Price: \$",
    " to \\$",
    r" \(Total results: ",
    "Page ",
    ", and price lower than ",
    " dollars",
    r"search\[",
    *(rf"click\[{button.lower()}\]" for button in _BUTTONS[:-1]),
    r"click\[",
    *(rf" \[SEP\] {button}" for button in _BUTTONS),
    r"B0[0-9A-Z]{8}",  # a product's id: copying it is copying one token
    r"[0-9]",
)
PHRASES = tuple(sorted(_LITERALS, key=len, reverse=True))
