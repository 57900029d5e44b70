"""The style sheet of a report: readable in light and in dark, on paper, on a small screen."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --card: #f6f7f9; --text: #1c2128; --soft: #667080;
  --rule: #d8dde4;
  --accent: #2f6fd0; --bad: #b3261e; --mark: #e4effd;
  --c0: #2f6fd0; --c1: #e07b1a; --c2: #2c9a58; --c3: #c23b56; --c4: #8558c9; --c5: #8a6a4f;
  --c6: #d45fa8; --c7: #7d8794; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1d2127; --text: #e4e7eb;
  --soft: #97a1af;
  --rule: #343b45; --accent: #79aef5; --bad: #ff8a80; --mark: #203450;
  --c0: #6ea8ff; --c1: #ffa657; --c2: #5fd08a; --c3: #ff7b8e; --c4: #bb95f5; --c5: #c9a383;
  --c6: #f291cc; --c7: #a4aebb; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 1160px; background: var(--back);
  color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
p { margin: .3rem 0 .8rem; max-width: 78ch; }
.soft, figcaption, .note { color: var(--soft); }
.note { font-size: .87rem; }
a { color: var(--accent); }
code, pre { font: .87em/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; overflow-wrap: anywhere;
  }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.2rem 0; }
.tile { background: var(--card); border-radius: 8px; padding: .7rem 1rem; min-width: 9rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; }
.tile.broad { flex: 1; }
.tile.broad b { font-size: 1rem; line-height: 1.5; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--rule); }
th, td { padding: .34rem .9rem .34rem 0; vertical-align: top; white-space: nowrap; }
td { border-bottom: 1px solid color-mix(in srgb, var(--rule) 55%, transparent); }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 16rem; }
.number { font-variant-numeric: tabular-nums; }
tr:hover td { background: var(--card); }
td.same { color: var(--soft); }
.bad { color: var(--bad); }
.meter { display: inline-block; width: 90px; height: .55rem; border-radius: 3px; background: var(--card);
  margin-right: .6rem; }
.meter span { display: block; height: 100%; border-radius: 3px; background: var(--accent); }
details { margin: .4rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
pre { background: var(--card); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto;
  white-space: pre-wrap; }
figure { margin: 0; min-width: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 1.4rem; }
.picture { overflow-x: auto; }
svg { max-width: 100%; height: auto; display: block; font-size: 12px; }
svg text { fill: var(--text); }
svg .axis-name, svg .axis-name text { fill: var(--soft); font-weight: 600; }
svg .label { paint-order: stroke; stroke: var(--back); stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--rule); stroke-width: .7; }
.axis { stroke: var(--soft); stroke-width: 1; }
.curve, .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.line { stroke-width: 1.3; }
.line.best { stroke-width: 3; }
.line:hover, .curve:hover { stroke-width: 4; stroke-opacity: 1; }
.band { opacity: .16; stroke: none; }
.bar { fill: var(--accent); }
.legend { list-style: none; margin: .8rem 0 0; padding: 0; columns: 2 420px; font-size: .87rem; }
.legend li { overflow-wrap: anywhere; break-inside: avoid; }
.swatch { display: inline-block; width: .9rem; height: .25rem; border-radius: 2px;
  margin: 0 .5rem .2rem 0; }
""" + "".join(
    f".curve.c{place} {{ stroke: var(--c{place}); }}"
    f" .band.c{place}, .dot.c{place} {{ fill: var(--c{place}); }}"
    f" .swatch.c{place} {{ background: var(--c{place}); }}\n"
    for place in range(8)
)
