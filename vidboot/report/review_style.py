"""What the review page adds to the style sheet of the reports."""

REVIEW_STYLE = """
:root { --region: #c2410c; --yes: #17803d; --no: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --region: #ff8f4a; --yes: #5cd38b; --no: #ff8a80; } }
main { max-width: none; padding-top: 1rem; }
.top { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 0.8rem;
  padding: 0.6rem clamp(1rem, 4vw, 2rem); background: var(--paper); border-bottom: 1px solid var(--rule);
  font-size: 0.92rem; }
.top h1 { color: var(--ink); }
#counts { margin: 0 auto 0 0; color: var(--quiet); font-variant-numeric: tabular-nums; }
#counts b { color: var(--ink); }
button, select, input { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--rule);
  border-radius: 6px; padding: 0.28rem 0.6rem; }
input { width: 9rem; }
button { cursor: pointer; }
button:hover { border-color: var(--quiet); }
button.main { background: var(--ink); color: var(--paper); border-color: var(--ink); }
:focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; }
kbd { font: 0.78em ui-monospace, Menlo, Consolas, monospace; padding: 0.05em 0.4em; border-radius: 4px;
  border: 1px solid currentColor; opacity: 0.65; white-space: nowrap; }
.keys { margin: 0; } .keys[open] { width: 100%; }
dl { display: flex; flex-wrap: wrap; gap: 0.2rem 1.3rem; margin: 0.4rem 0 0; font-size: 0.88rem; color: var(--quiet); }
dl div { display: flex; gap: 0.45rem; } dd { margin: 0; }

.card { margin: 0 0 0.9rem; padding: 0.75rem 0.9rem; border: 1px solid var(--rule); border-left: 4px solid var(--rule);
  border-radius: 8px; scroll-margin: 7rem 0 2rem; content-visibility: auto; contain-intrinsic-size: auto 15rem;
  display: grid; grid-template-columns: 1fr auto; gap: 0.15rem 1rem; }
.card:focus { outline: none; }
.card.here { border-color: var(--c1); box-shadow: 0 0 0 1px var(--c1); }
.card[data-status="accepted"] { border-left-color: var(--yes); }
.card[data-status="edited"] { border-left-color: var(--yes); }
.card[data-status="rejected"] { border-left-color: var(--no); }
.card[data-status="rejected"] .strip { opacity: 0.55; }
.card h2 { margin: 0; padding: 0; border: 0; font-size: 1rem; }
.kind { padding: 0.05rem 0.5rem; border-radius: 1rem; background: var(--raised); border: 1px solid var(--rule);
  font-size: 0.85rem; font-weight: 600; }
.file { font-weight: 500; }
.facts { grid-row: 2; margin: 0; display: flex; flex-wrap: wrap; gap: 0 1.1rem; color: var(--quiet);
  font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.state { font-weight: 600; }
.card:not([data-status="auto"]) .undecided { display: none; }
[data-status="accepted"] .state, [data-status="edited"] .state { color: var(--yes); }
[data-status="rejected"] .state { color: var(--no); }
.card .acts { grid-row: 1 / span 2; grid-column: 2; align-self: center; }
.acts { display: flex; gap: 0.4rem; flex-wrap: wrap; }
.strip { grid-column: 1 / -1; display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 0.6rem;
  margin-top: 0.5rem; background: none; border-radius: 0; }
.card figcaption { margin: 0.25rem 0 0; font-size: 0.82rem; display: flex; justify-content: space-between; }
.still { width: min(100%, calc(16rem * var(--ratio))); margin: 0 auto; position: relative; overflow: hidden;
  background: #000; border-radius: 4px; cursor: crosshair;
  touch-action: none; user-select: none; }
.still img { display: block; width: 100%; height: 100%; image-rendering: pixelated; }
.still .outline { position: absolute; inset: 0; }
.still img[src^="data:image/jpeg"] { image-rendering: auto; }
.still.none { cursor: default; display: grid; place-items: center; background: var(--raised); color: var(--quiet);
  font-size: 0.82rem; text-align: center; padding: 0.3rem; }
.region { position: absolute; pointer-events: none; outline: 2px solid #ff8f4a; outline-offset: 1px;
  box-shadow: 0 0 0 1px #000a, 0 0 0 4px #0009; border-radius: 1px; }
.away .region { outline-style: dashed; opacity: 0.75; }
.away .outline { opacity: 0.5; }
.layer .region { display: none; }

dialog { width: min(94vw, 150vh, 1300px); max-height: 96vh; border: 1px solid var(--rule); border-radius: 10px;
  padding: 1rem; background: var(--paper); color: var(--ink); }
dialog::backdrop { background: #000a; }
dialog .still { width: min(100%, calc(68vh * var(--ratio))); }
dialog p { margin: 0.6rem 0 0; font-variant-numeric: tabular-nums; }
dialog .acts { margin-top: 0.8rem; }
@media (max-width: 46rem) {
  .top { position: static; }
  .card { grid-template-columns: 1fr; }
  .card .acts { grid-row: auto; grid-column: 1; }
  .strip { grid-template-columns: repeat(3, minmax(0, 1fr)); }
}
"""
