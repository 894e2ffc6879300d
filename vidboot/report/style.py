"""The page's style sheet. c0 is the colour of the text, c1 to c7 are Okabe and Ito's palette, lighter at night."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfc; --ink: #1c1e21; --quiet: #5d636b; --rule: #dfe1e4; --raised: #f3f4f5; --bad: #b3261e;
  --c1: #0072b2; --c2: #d55e00; --c3: #008f6b; --c4: #b0508a; --c5: #b97f00; --c6: #2f93c8; --c7: #7a6a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e8eaed; --quiet: #a2a9b2; --rule: #33373d; --raised: #1f2226; --bad: #ff8a80;
    --c1: #5ab0e8; --c2: #ff8f4a; --c3: #2fc79a; --c4: #e59ac6; --c5: #f0b23c; --c6: #8fd3f7; --c7: #e6dc5a;
  }
}
.c0 { --c: var(--ink); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }

* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: clamp(1.2rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2rem) 5rem; }
h1 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--quiet); letter-spacing: 0.01em; }
.verdict { margin: 0.4rem 0 0; max-width: 46rem; font-size: clamp(1.35rem, 3.4vw, 1.9rem); line-height: 1.28;
  font-weight: 600; letter-spacing: -0.012em; text-wrap: balance; }
h2 { margin: 3.4rem 0 0.2rem; padding-top: 1.1rem; border-top: 1px solid var(--rule); font-size: 1.2rem; }
h3 { margin: 0 0 0.3rem; font-size: 1rem; }
.lead { margin: 0 0 1.1rem; max-width: 44rem; color: var(--quiet); }

.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr)); gap: 0.9rem 1.6rem;
  margin: 1.8rem 0 0; }
.headlines dt { font-size: 1.55rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.2; }
.headlines dd { margin: 0.1rem 0 0; color: var(--quiet); font-size: 0.92rem; line-height: 1.4; }

.scroll { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 0.94rem; }
th, td { padding: 0.5rem 0.7rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: normal; white-space: nowrap; }
thead th { color: var(--quiet); font-weight: 500; vertical-align: bottom; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); padding-left: 0;
  white-space: normal; min-width: 9.5rem; max-width: 19rem; }
tbody th { font-weight: 600; }
tbody th small, td small { display: block; font-weight: 400; color: var(--quiet); font-size: 0.82rem; }
td.fails { color: var(--bad); font-weight: 600; }
td.wide { width: 34%; min-width: 4rem; padding-right: 0; vertical-align: middle; }
.bar { display: block; height: 0.6rem; margin: 0.14rem 0; border-radius: 2px; background: var(--c); min-width: 2px; }
.key { display: inline-block; width: 0.75em; height: 0.75em; border-radius: 2px; background: var(--c);
  margin-right: 0.4em; }
.bar[style="width:0.00%"] { min-width: 0; }

.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.8rem 1.6rem; }
figure { margin: 0; min-width: 0; }
figcaption { margin: 0 0 0.5rem; font-size: 0.92rem; line-height: 1.4; color: var(--quiet); }
figcaption b { color: var(--ink); font-size: 1rem; }
video, .strip { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 4px;
  background: #000; }
.strip { margin-top: 4px; }

.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.6rem; }
.plots.one { max-width: 37rem; }
svg { display: block; width: 100%; height: auto; font: 12.5px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .axis { stroke: var(--quiet); fill: none; }
.mark { stroke: var(--quiet); stroke-dasharray: 3 3; }
.tick, .label { fill: var(--quiet); } .tick { font-variant-numeric: tabular-nums; }
.line { fill: none; stroke: var(--c); stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
.line.c0 { stroke-width: 3; }
.line.c2, .line.c5 { stroke-dasharray: 7 4; } .line.c3, .line.c6 { stroke-dasharray: 2 4; }
.leader { fill: none; stroke: var(--c); opacity: 0.4; }
.dot { fill: var(--c); } .name { fill: var(--c); font-weight: 600; }

details { margin: 0.4rem 0; } summary { cursor: pointer; } details ul { margin: 0.3rem 0 0.8rem; color: var(--quiet); }
.details { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: 0.25rem 1.4rem; margin: 0;
  font-size: 0.92rem; }
.details dt { color: var(--quiet); } .details dd { margin: 0; font-family: ui-monospace, Menlo, Consolas, monospace; }
@media (max-width: 34rem) {
  th, td { padding: 0.45rem 0.35rem; }
  thead th { white-space: normal; }
  th:first-child { min-width: 6rem; max-width: 8rem; }
  td.wide { width: auto; min-width: 2.6rem; }
  .tick, .label { font-size: 14.5px; }
}
@media print { video { display: none; } h2, figure, tr { break-inside: avoid; } }
"""
