"""The page's script, second part: the list of episodes, its filters, and stepping through one or two of them."""

SCRIPT = r"""
const {title, episodes} = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const MARKS = {successes: "✓", failures: "✗", crashed: "!"};
let shown = [], current = 0, place = 0;

function ending(episode) {
  if (episode.status === "crashed") return "crashed";
  if (episode.status === "truncated") return "cut off" + (episode.reason ? ` (${episode.reason})` : "");
  return episode.outcome === "successes" ? "success" : "failure";
}
function turns(episode) { return `${episode.steps.length} turn${episode.steps.length === 1 ? "" : "s"}`; }
function fill(select, values, all) {
  select.append(new Option(all, ""), ...values.map((value) => new Option(value || "(unnamed)", value)));
}
function distinct(key) { return [...new Set(episodes.map((episode) => episode[key]))]; }
const several = distinct("env").length > 1;
function called(episode) { return `${several ? episode.env : "task"} ${episode.task}`; }

function choose() {
  const wanted = ["policy", "outcome", "level"].map((key) => [key, find(key).value]);
  const words = find("find").value.trim().toLowerCase();
  shown = episodes.filter((episode) => wanted.every(([key, value]) => value === "" || episode[key] === value) &&
    (words === "" || String(episode.task) === words || episode.id.toLowerCase().includes(words) ||
      episode.steps.some((step) => `${step.text} ${step.observation}`.toLowerCase().includes(words))));
  const order = find("order").value;
  if (order === "tokens") shown.sort((a, b) => b.tokens - a.tokens);
  if (order === "steps") shown.sort((a, b) => b.steps.length - a.steps.length);
  find("count").textContent = `${shown.length} of ${episodes.length} episodes, ` +
    `${shown.filter((episode) => episode.outcome === "successes").length} successes`;
  find("list").replaceChildren(...shown.map((episode, index) => {
    const row = element("button", "", element("span", episode.outcome, MARKS[episode.outcome]),
      element("span", "", [episode.policy, called(episode)].filter(Boolean).join(" · ")),
      element("span", "", turns(episode)),
      element("small", "", `${episode.level || episode.env} · ${episode.tokens} tokens · ${ending(episode)}`));
    row.addEventListener("click", () => open(index, 0));
    return row;
  }));
  open(0, 0);
}

function open(index, turn) {
  current = Math.max(0, Math.min(index, shown.length - 1));
  for (const row of document.querySelectorAll("#list [aria-current]")) row.removeAttribute("aria-current");
  const row = find("list").children[current];
  if (row) { row.setAttribute("aria-current", "true"); row.scrollIntoView({block: "nearest"}); }
  go(turn);
}
function pair() {
  const episode = shown[current], other = find("beside").value;
  if (!episode) return [];
  if (find("beside").selectedIndex <= 0) return [episode];
  const beside = episodes.find((one) => one !== episode && one.policy === other && one.env === episode.env &&
    one.task === episode.task);
  return [episode, beside || null];
}
function length() { return Math.max(0, ...pair().map((episode) => (episode ? episode.steps.length : 0))); }

function go(turn) {
  place = Math.max(0, Math.min(turn, length()));
  find("place").textContent = place < length() ? `turn ${place + 1} of ${length()}` : "end";
  for (const id of ["first", "back"]) find(id).disabled = place === 0;
  for (const id of ["next", "last"]) find(id).disabled = place === length();
  find("panes").replaceChildren(...pair().map((episode) => episode ? pane(episode)
    : element("div", "pane", element("p", "note", `${find("beside").value} did not play this task.`))));
  if (!shown.length) find("panes").append(element("p", "note", "No episode is left by these filters."));
}

function pane(episode) {
  const turn = Math.min(place, episode.steps.length), over = turn === episode.steps.length;
  const made = element("article", "pane",
    element("h2", "", [episode.policy, called(episode), episode.level].filter(Boolean).join(" · ")),
    element("p", "facts", element("b", episode.outcome, ending(episode)), ` · reward ${number(episode.reward)} · ` +
      `${turns(episode)} · ${episode.tokens} tokens`));
  const strip = element("div", "strip");
  for (let index = 0; index <= episode.steps.length; index++) {
    const step = episode.steps[index], invalid = step && !step.valid;
    const button = element("button", invalid ? "invalid" : "", step ? String(index + 1) : "end");
    if (index === turn) button.setAttribute("aria-current", "true");
    if (invalid) button.title = "the action was refused";
    button.addEventListener("click", () => go(index));
    strip.append(button);
  }
  made.append(strip);
  const cut = episode.status === "truncated" ? `Cut off before its end: ${episode.reason || "no reason given"}.` : "";
  const notes = [episode.error ? `Crashed: ${episode.error}` : "", cut, episode.note];
  made.append(...notes.filter(Boolean).map((note) => element("p", "note", note)));
  const verdict = element("b", episode.outcome, `The end: ${ending(episode)}`);
  const close = () => element("div", "turn", verdict, `, reward ${number(episode.reward)}`);
  const said = element("div", "said", over ? close() : turnCard(episode.steps[turn]));
  made.append(element("div", "body", element("div", "scene", ...scene(episode, turn, over)), said));
  return made;
}
function scene(episode, turn, over) {
  const picture = episode.pictures[turn], parts = [];
  if (picture) {
    parts.push(drawGrid(picture, episode.pictures[turn - 1]));
    parts.push(element("p", "carrying", picture.carrying ? `carries a ${picture.carrying}` : "carries nothing"));
  }
  const text = over ? episode.end : episode.steps[turn].observation;
  if (!text) return [...parts, element("p", "carrying", "The record does not hold what came after the last turn.")];
  const plain = element("details", "", element("summary", "", "what the agent reads"), element("pre", "", text));
  const steps = episode.steps, action = over ? "" : steps[turn].action;
  if (isShop(text)) parts.push(drawShop(text, action, pickedOptions(steps, turn), lastQuery(steps, turn)));
  else plain.open = true;
  return [...parts, plain];
}
function turnCard(step) {
  const card = element("div", "turn"), list = element("dl");
  list.style.margin = "0";
  if (step.thought || step.action) {
    if (step.thought) list.append(element("dt", "", "thought"), element("dd", "thought", step.thought));
    list.append(element("dt", "", "action"), element("dd", "action", step.action || "(none)"));
  } else list.append(element("dt", "", "said"), element("dd", "thought", step.text));
  const facts = element("div", "badges", element("span", "", `${step.tokens} tokens`),
    element("span", step.valid ? "" : "refused", step.valid ? "valid" : "refused"),
    step.reward === null ? null : element("span", "", `reward ${number(step.reward)}`));
  const whole = element("details", "", element("summary", "", "the turn as written"), element("pre", "", step.text));
  card.append(list, facts, whole);
  return card;
}
function number(value) { return Number.isInteger(value) ? String(value) : value.toFixed(3); }

document.querySelector("h1").textContent = `Episodes of ${title}`;
fill(find("policy"), distinct("policy"), "all");
fill(find("outcome"), ["successes", "failures", "crashed"].filter((one) => distinct("outcome").includes(one)), "all");
fill(find("level"), distinct("level"), "all");
fill(find("beside"), distinct("policy"), "nobody");
for (const id of ["policy", "outcome", "level", "order"]) find(id).addEventListener("change", choose);
find("find").addEventListener("input", choose);
find("beside").addEventListener("change", () => go(place));
const MOVES = {first: () => go(0), back: () => go(place - 1), next: () => go(place + 1), last: () => go(length())};
for (const [id, move] of Object.entries(MOVES)) find(id).addEventListener("click", move);
const KEYS = {ArrowLeft: MOVES.back, ArrowRight: MOVES.next, Home: MOVES.first, End: MOVES.last,
  ArrowUp: () => open(current - 1, 0), ArrowDown: () => open(current + 1, 0)};
document.addEventListener("keydown", (event) => {
  const elsewhere = event.target.matches("input, select") || event.ctrlKey || event.altKey || event.metaKey;
  if (elsewhere || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
choose();
"""
