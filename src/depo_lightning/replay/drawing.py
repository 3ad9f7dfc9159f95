"""The page's script, first part: BabyAI's grid as SVG, WebShop's pages as a shop. Texts become text nodes only."""

DRAWING = r"""
"use strict";
function element(name, look, ...inside) {
  const made = document.createElement(name);
  if (look) made.className = look;
  made.append(...inside.filter((part) => part !== null && part !== undefined));
  return made;
}

// BabyAI: the whole grid; what the agent does not see is dark, and a pale arrow shows where it was a turn ago.
const CELL = 32;
const COLOURS = {red: "#e0483e", green: "#2fa84f", blue: "#3b7de0", purple: "#8e44c9", yellow: "#f0c419",
  grey: "#9aa0a6"};
function svg(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}
function drawThing(root, x, y, name) {
  const words = name.split(" ");
  const colour = COLOURS[words[0]] || "#cccccc", kind = words[words.length - 1];
  const group = svg("g", {transform: `translate(${x * CELL} ${y * CELL})`}, root);
  svg("title", {}, group).textContent = name;
  if (kind === "ball") svg("circle", {cx: 16, cy: 16, r: 10, fill: colour}, group);
  else if (kind === "box") {
    svg("rect", {x: 5, y: 5, width: 22, height: 22, fill: "none", stroke: colour, "stroke-width": 3}, group);
    svg("line", {x1: 5, y1: 16, x2: 27, y2: 16, stroke: colour, "stroke-width": 3}, group);
  } else if (kind === "key") {
    svg("circle", {cx: 16, cy: 9, r: 5, fill: "none", stroke: colour, "stroke-width": 3}, group);
    svg("path", {d: "M16 14V27M16 21h6M16 26h6", stroke: colour, "stroke-width": 3, fill: "none"}, group);
  } else if (kind === "door") {
    const open = words.includes("open");
    svg("rect", {x: 2, y: 2, width: open ? 6 : 28, height: 28, fill: open ? colour : "#00000055", stroke: colour,
      "stroke-width": 3}, group);
    if (words.includes("locked")) svg("rect", {x: 8, y: 8, width: 16, height: 16, fill: colour}, group);
    if (!open) svg("circle", {cx: 24, cy: 16, r: 2.4, fill: "#ffffff"}, group);
  } else if (kind === "goal") svg("rect", {x: 1, y: 1, width: 30, height: 30, fill: colour}, group);
  else svg("text", {x: 16, y: 21, "text-anchor": "middle", fill: colour}, group).textContent = kind[0];
}
function drawAgent(root, [x, y, direction], colour, opacity) {
  svg("path", {d: "M-11 -10L13 0L-11 10Z", fill: colour, opacity,
    transform: `translate(${x * CELL + 16} ${y * CELL + 16}) rotate(${90 * direction})`}, root);
}
function drawGrid(picture, before) {
  const [width, height] = picture.size;
  const root = svg("svg", {viewBox: `0 0 ${width * CELL} ${height * CELL}`, class: "grid", role: "img"});
  const [ax, ay, facing] = picture.agent;
  root.setAttribute("aria-label", `grid of ${width} by ${height}; the agent at ${ax}, ${ay} looks ` +
    ["right", "down", "left", "up"][facing]);
  const seen = new Set(picture.seen.map(([x, y]) => y * width + x));
  for (let place = 0; place < width * height; place++) {
    const wall = picture.walls[place] === "1", lit = seen.has(place);
    svg("rect", {x: (place % width) * CELL, y: Math.floor(place / width) * CELL, width: CELL, height: CELL,
      fill: wall ? (lit ? "#8a8a8a" : "#5c5c5c") : lit ? "#4a4a3a" : "#1d1d1d", stroke: "#333333",
      "stroke-width": 1}, root);
  }
  for (const [x, y, name] of picture.things) drawThing(root, x, y, name);
  if (before && (before.agent[0] !== ax || before.agent[1] !== ay)) {
    const middle = ([x, y]) => [x * CELL + 16, y * CELL + 16];
    const [x1, y1] = middle(before.agent), [x2, y2] = middle(picture.agent);
    svg("line", {x1, y1, x2, y2, stroke: "#ff6b5e", "stroke-width": 2, "stroke-dasharray": "3 4", opacity: 0.6}, root);
    drawAgent(root, before.agent, "#ff6b5e", 0.35);
  }
  drawAgent(root, picture.agent, "#ff3b30", 1);
  return root;
}

// WebShop: the observation's texts, put where a shop has them. Nothing is shown that the observation does not say.
const BUTTONS = ["back to search", "< prev", "next >", "description", "features", "reviews", "attributes", "buy now"];
const GROUP = /^(?:[a-z ]+ )?(?:colou?r|size|style|flavou?r|scent|pattern|material|shape|length|width|name|type)$/i;
const isButton = (part) => BUTTONS.includes(part.toLowerCase());
function isShop(text) { return text.includes(" [SEP] "); }
function drawShop(text, action, picked, asked) {
  const parts = text.split(" [SEP] ").map((part) => part.trim());
  const called = /^\s*(search|click)\[(.*)\]\s*$/is.exec(action || "");
  const clicked = called && called[1].toLowerCase() === "click" ? called[2].trim().toLowerCase() : null;
  const mark = (node, label) => {
    if (clicked !== null && label.toLowerCase() === clicked) node.classList.add("clicked");
    return node;
  };
  const button = (label) => mark(element("span", "link" + (label === "Buy Now" ? " buy" : ""), label), label);
  const shop = element("div", "shop");
  const query = called && called[1].toLowerCase() === "search" ? called[2] : null;
  const start = parts.includes("Search");
  shop.append(element("div", "bar", element("b", "", "WebShop"),
    element("div", "search" + (query !== null ? " clicked" : ""), query ?? (start ? "" : asked)),
    start ? element("span", "link", "Search") : null));
  const wish = parts.indexOf("Instruction:");
  let rest = parts;
  if (wish >= 0) {
    shop.append(element("div", "wish", element("b", "", "Instruction: "), parts[wish + 1] || ""));
    rest = [...parts.slice(0, wish), ...parts.slice(wish + 2)];
  }
  rest = rest.filter((part) => part !== "WebShop" && part !== "Search");
  const inside = element("div", "inside");
  const page = rest.findIndex((part) => /^Page \d+ \(Total results: \d+\)$/.test(part));
  const price = rest.findIndex((part) => /^Price: /.test(part));
  if (rest[0] === "Thank you for shopping with us!") drawReceipt(inside, rest);
  else if (page >= 0) drawResults(inside, rest, page, button, mark);
  else if (price > 0 && rest.includes("Buy Now")) drawItem(inside, rest, price, button, mark, picked);
  else for (const part of rest) inside.append(isButton(part) ? button(part) : element("p", "", part));
  shop.append(inside);
  return shop;
}
function drawResults(inside, rest, page, button, mark) {
  const items = rest.findIndex((part, index) => index > page && !isButton(part));
  const head = items < 0 ? rest : rest.slice(0, items);
  for (const part of head) inside.append(isButton(part) ? button(part) : element("span", "", part + "  "));
  for (let index = items; items >= 0 && index < rest.length; ) {
    const code = rest[index++], words = [];
    while (index < rest.length && !/^B[0-9A-Z]{9}$/.test(rest[index])) words.push(rest[index++]);
    const price = words.length && /^\$/.test(words[words.length - 1]) ? words.pop() : "";
    inside.append(mark(element("div", "item", element("span", "thumb", (words[0] || "?").slice(0, 1)),
      element("div", "", words.join(" "), element("small", "", code)), element("span", "price", price)), code));
  }
}
function drawItem(inside, rest, price, button, mark, picked) {
  const options = rest.slice(0, price - 1), after = rest.slice(price);
  for (const part of options.filter((part) => isButton(part))) inside.append(button(part));
  inside.append(element("h3", "", rest[price - 1]));
  const groups = [[]];  // an option's name, if it looks like one, and its values
  for (const part of options.filter((part) => !isButton(part))) {
    if (GROUP.test(part)) groups.push([]);
    groups[groups.length - 1].push(part);
  }
  for (const values of groups) {
    const last = picked.filter((label) => values.some((value) => value.toLowerCase() === label)).pop();
    for (const part of values) {
      if (GROUP.test(part)) inside.append(element("div", "group", part));
      else inside.append(mark(element("span", "chip" + (part.toLowerCase() === last ? " picked" : ""), part), part));
    }
  }
  for (const part of after) {
    inside.append(isButton(part) ? button(part) : element("p", part.startsWith("Price:") ? "price" : "", part));
  }
}
function drawReceipt(inside, rest) {
  inside.append(element("h3", "", rest[0]));
  const after = (label) => rest[rest.indexOf(label) + 1];
  const table = element("table");
  const facts = [["item", "asin"], ["options", "options"], ["score", "Your score (min 0.0, max 1.0)"]];
  for (const [shown, label] of facts) {
    const row = element("tr", "", element("td", "", shown), element("td", "", after(label)));
    if (rest.includes(label)) table.append(row);
  }
  inside.append(table);
}
// What was last searched for before turn `turn`.
function lastQuery(steps, turn) {
  const searches = steps.slice(0, turn).map((step) => /^\s*search\[(.*)\]\s*$/is.exec(step.action)).filter(Boolean);
  return searches.length ? searches[searches.length - 1][1] : "";
}
// Labels clicked since the item was opened, before turn `turn`: the observation does not say what is chosen.
function pickedOptions(steps, turn) {
  let picked = [];
  for (const step of steps.slice(0, turn)) {
    const click = /^\s*click\[(.*)\]\s*$/is.exec(step.action);
    if (!click || !step.valid) continue;
    const label = click[1].trim().toLowerCase();
    if (/^b[0-9a-z]{9}$/.test(label) || label === "back to search") picked = [];
    else picked.push(label);
  }
  return picked;
}
"""
