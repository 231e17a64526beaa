"""The frame of the report: head, style for light and dark, wide and narrow; it loads nothing and runs nothing."""

from __future__ import annotations

# Nothing may be loaded and nothing may run: whatever a name or an error holds, the browser is told so too.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b2230; --soft: #5d6675; --rule: #dfe3e9;
  --clean: #2a9d6f; --attention: #e0a526; --failed: #d64550; --waiting: #5b8def; --held: #a06cd5;
  --good-ink: #13694a; --good-bg: #dcf3e8; --bad-ink: #a11d2b; --bad-bg: #fbe3e5; --warn-ink: #7a5300;
  --warn-bg: #fcefcf; --none-bg: #e8ebf0; --code: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --card: #1b2029; --ink: #e6e9ef; --soft: #98a2b3;
  --rule: #2d3542; --clean: #35b985; --attention: #e5b243; --failed: #ef6370; --waiting: #7aa5ff; --held: #b98aed;
  --good-ink: #7fe0b8; --good-bg: #123829; --bad-ink: #ffa3ab; --bad-bg: #45191f; --warn-ink: #f5d184;
  --warn-bg: #40310c; --none-bg: #2a313d; --code: #262d38; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 48px; max-width: 1080px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 14px; margin-bottom: 18px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -.02em; }
h2 { font-size: 18px; margin: 0 0 10px; display: flex; flex-wrap: wrap; align-items: center; gap: 10px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 0 0 6px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 16px 18px;
  margin-bottom: 16px; }
.meta, small, dt, figcaption, .legend { color: var(--soft); font-size: 13px; }
.meta { margin: 0 0 8px; } header .meta { margin: 0; }
ul { list-style: none; margin: 0; padding: 0; }
code { background: var(--code); border-radius: 5px; padding: 1px 5px; font: 12.5px/1.5 ui-monospace, monospace; }
.pill { display: inline-block; margin: 0; padding: 1px 10px; border-radius: 99px; font-size: 12.5px; font-weight: 600;
  white-space: nowrap; }
.pill.good { background: var(--good-bg); color: var(--good-ink); }
.pill.bad { background: var(--bad-bg); color: var(--bad-ink); }
.pill.warn { background: var(--warn-bg); color: var(--warn-ink); }
.pill.none { background: var(--none-bg); color: var(--soft); }
.cards { display: grid; gap: 8px; }
.card { border-left: 4px solid var(--failed); background: var(--bad-bg); border-radius: 8px; padding: 9px 12px; }
.card p { margin: 0; } .do { color: var(--soft); font-size: 13.5px; } .card .do { color: inherit; }
.do b { font-size: 12px; text-transform: uppercase; letter-spacing: .05em; margin-right: 4px; }
.notes { margin-top: 8px; color: var(--soft); font-size: 13.5px; } .notes li::before { content: "· "; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 10px; }
.tile { border: 1px solid var(--rule); border-top: 4px solid var(--none-bg); border-radius: 8px; padding: 10px 12px;
  display: grid; } .tile.good { border-top-color: var(--clean); } .tile.bad { border-top-color: var(--failed); }
.tile b { font-size: 24px; line-height: 1.2; font-variant-numeric: tabular-nums; } .tile.bad b { color:
  var(--failed); }
dl { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 8px 0 12px; } dd { margin: 0; font-weight: 600; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 26px; }
figure { margin: 12px 0 0; min-width: 0; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px
  16px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 0 0 6px; } figcaption .legend { margin: 0; }
.legend span { display: inline-flex; align-items: center; gap: 5px; }
.legend i { width: 10px; height: 10px; border-radius: 3px; display: inline-block; }
i.clean { background: var(--clean); } i.attention { background: var(--attention); } i.failed { background:
  var(--failed); }
i.waiting, i.p50 { background: var(--waiting); } i.held, i.p95 { background: var(--held); }
i.none { background: var(--none-bg); }
.chart { display: block; width: 100%; height: auto; } .chart text { font: 12px system-ui, sans-serif; fill:
  var(--soft); }
.grid { stroke: var(--rule); stroke-width: 1; } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .clean { fill: var(--clean); } svg .attention { fill: var(--attention); } svg .failed { fill: var(--failed); }
svg .waiting, svg .p50 { fill: var(--waiting); } svg .held, svg .p95 { fill: var(--held); }
svg .none { fill: var(--none-bg); } svg .line.p50 { stroke: var(--waiting); fill: none; }
svg .line.p95 { stroke: var(--held); fill: none; }
.strip { max-width: 100%; height: auto; }
.rows > li { border-top: 1px solid var(--rule); padding: 9px 0; display: grid; gap: 3px 14px; align-items: center;
  grid-template-columns: minmax(0, 1fr) auto auto auto; }
.squares > li { grid-template-columns: minmax(0, 1fr) 110px auto 160px; }
  .squares .pill { justify-self: start; } .rows > li:first-child { border-top: 0; }
.rows p { grid-column: 1 / -1; margin: 0; font-size: 14px; } .rows small { text-align: right; }
details > summary { cursor: pointer; color: var(--soft); padding: 8px 0; }
footer { color: var(--soft); font-size: 13px; text-align: center; }
@media (max-width: 760px) { .pair { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) { body { padding: 14px 10px 32px; } section { padding: 14px 12px; }
  .rows > li, .squares > li { grid-template-columns: minmax(0, 1fr) auto; }
  .rows .strip, .rows small { grid-column: 1 / -1; }
  .rows small { text-align: left; } .chart text { font-size: 14px; } .tiles { grid-template-columns: 1fr 1fr; }
  .tile b { font-size: 20px; } }
"""
