"""Style of the page."""

STYLE = """\
:root { --ink: #222222; --muted: #767676; --line: #e2e2e2; --accent: #0072B2; --good: #1a7f4b; --bad: #b3402a;
  --paper: #fafafa; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #ffffff; height: 100vh; display: flex; flex-direction: column;
  font: 14px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
header { padding: 14px 22px 10px; border-bottom: 1px solid var(--line); }
h1 { font-size: 20px; margin: 0; display: inline; }
#count { display: inline; color: var(--muted); margin: 0 0 0 12px; }
#filters { margin-top: 8px; display: flex; flex-wrap: wrap; gap: 6px 16px; font-size: 13px; color: var(--muted); }
select, input, button { font: inherit; color: var(--ink); border: 1px solid #c9c9c9; border-radius: 4px;
  background: #ffffff; padding: 2px 6px; }
button { cursor: pointer; }
button:disabled { color: #b5b5b5; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
main { flex: 1; display: flex; min-height: 0; }
nav { width: 320px; overflow-y: auto; border-right: 1px solid var(--line); flex: none; }
nav button { display: grid; grid-template-columns: 14px 1fr auto; gap: 0 8px; width: 100%; text-align: left; border: 0;
  border-bottom: 1px solid #f0f0f0; border-radius: 0; padding: 5px 12px; font-size: 13px;
  font-variant-numeric: tabular-nums; }
nav button[aria-current="true"] { background: #e8f1f8; }
nav button small { grid-column: 2 / 4; color: var(--muted); }
.successes { color: var(--good); } .failures { color: var(--bad); } .crashed { color: #7d3cb5; }
#stage { flex: 1; overflow-y: auto; padding: 12px 22px 40px; min-width: 0; }
#controls { display: flex; gap: 8px; align-items: center; margin-bottom: 10px; flex-wrap: wrap; }
#controls small { color: var(--muted); margin-left: 10px; }
#place { min-width: 92px; text-align: center; font-variant-numeric: tabular-nums; }
#panes { display: grid; grid-auto-columns: minmax(0, 1fr); grid-auto-flow: column; gap: 26px; }
.pane h2 { font-size: 16px; margin: 0 0 2px; }
.pane > p.facts { margin: 0 0 8px; color: var(--muted); }
.strip { display: flex; flex-wrap: wrap; gap: 3px; margin-bottom: 10px; }
.strip button { padding: 0 7px; font-size: 12px; min-width: 26px; }
.strip button.invalid { border-color: var(--bad); color: var(--bad); border-style: dashed; }
.strip button[aria-current="true"] { background: var(--accent); border-color: var(--accent); color: #ffffff; }
.body { display: flex; flex-wrap: wrap; gap: 4px 22px; align-items: flex-start; }
.scene { flex: 3 1 400px; min-width: 0; }
.said { flex: 2 1 300px; min-width: 0; }
.said .turn { margin-top: 0; }
#panes:has(.pane + .pane) .said { order: -1; flex-basis: 100%; }
#panes:has(.pane + .pane) .grid { width: min(100%, 360px); }
.note { background: #fff5e0; border-left: 3px solid #d99a1c; padding: 6px 10px; margin: 0 0 10px; }
.grid { width: min(100%, 460px); height: auto; display: block; margin-bottom: 4px; background: #1d1d1d; }
.carrying { color: var(--muted); margin: 0 0 8px; font-size: 13px; }
.turn { border: 1px solid var(--line); border-radius: 6px; padding: 8px 12px; margin: 8px 0; background: var(--paper); }
.turn dt { font-size: 12px; color: var(--muted); margin-top: 4px; }
.turn dt:first-child { margin-top: 0; }
.turn dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.turn dd.action { font-weight: 600; }
.badges { display: flex; gap: 6px 14px; margin-top: 6px; flex-wrap: wrap; font-size: 13px; color: var(--muted);
  font-variant-numeric: tabular-nums; }
.badges .refused { color: var(--bad); font-weight: 600; }
details { margin: 6px 0; font-size: 13px; }
summary { color: var(--muted); cursor: pointer; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", monospace;
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; margin: 4px 0; }
.shop { border: 1px solid #cfcfcf; border-radius: 8px; overflow: hidden; margin-bottom: 8px; }
.shop .bar { background: #24303c; color: #ffffff; padding: 8px 12px; display: flex; gap: 10px; align-items: center; }
.shop .bar b { flex: none; }
.shop .search { background: #ffffff; color: #222222; border-radius: 4px; flex: 1; padding: 3px 10px; min-height: 27px;
  overflow-wrap: anywhere; }
.shop .wish { background: #fdf6e3; padding: 6px 12px; border-bottom: 1px solid var(--line); }
.shop .inside { padding: 10px 12px; }
.shop .link, .shop .chip { display: inline-block; border: 1px solid #c9c9c9; border-radius: 14px; padding: 0 10px;
  margin: 2px 6px 2px 0; font-size: 13px; background: #ffffff; }
.shop .buy { background: #ffd24d; border-color: #e0b020; font-weight: 600; }
.shop .chip.picked { border-color: var(--ink); border-width: 2px; }
.shop .group { font-size: 12px; color: var(--muted); margin-top: 6px; }
.shop .item { display: grid; grid-template-columns: 44px 1fr auto; gap: 10px; padding: 7px 4px;
  border-bottom: 1px solid #eeeeee; }
.shop .thumb { width: 44px; height: 44px; border-radius: 4px; background: #e9edf1; color: #8795a3; display: grid;
  place-items: center; font-size: 18px; }
.shop .item small { color: var(--muted); display: block; }
.shop .price { font-weight: 600; white-space: nowrap; }
.shop h3 { font-size: 16px; margin: 8px 0 4px; }
.shop .clicked { box-shadow: 0 0 0 3px #0072B2; border-radius: 6px; }
.shop table { border-collapse: collapse; font-size: 13px; }
.shop td { padding: 2px 12px 2px 0; vertical-align: top; }
"""
