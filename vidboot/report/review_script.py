"""What the review page does: one script, no library. DIGEST is replaced by a name for the page's events."""

SCRIPT = """
"use strict";
const {schema, events} = JSON.parse(document.getElementById("data").textContent);
const cards = [...document.querySelectorAll(".card")];
const byId = (id) => document.getElementById(id);
const pictures = JSON.parse(byId("pictures").textContent);
for (const image of document.querySelectorAll("img[data-picture]")) image.src = pictures[image.dataset.picture];
const editor = byId("editor"), desk = editor.querySelector(".still");
const WORDS = {auto: "open", accepted: "accepted", rejected: "rejected", edited: "redrawn"};
const found = events.map((event) => event.status);
const before = [];  // undo: lists of [number, status, box]
const STORE = "vidboot-review-DIGEST";
let here = 0, saved = true, edit = null;

// Decisions

function decide(changes) {
  before.push(changes.map(([n]) => [n, events[n].status, events[n].box]));
  put(changes);
}

function put(changes) {
  for (const [n, status, box] of changes) {
    Object.assign(events[n], {status, box});
    paint(n);
  }
  saved = false;
  try { localStorage.setItem(STORE, JSON.stringify(events.map(({status, box}) => [status, box]))); } catch {}
  count();
}

function undo() {
  const changes = before.pop();
  if (!changes) return;
  put(changes);
  go(changes[0][0]);
}

function decisions() {
  const kept = events.filter((event, n) => event.status !== "auto" || found[n] !== "auto");
  return {schema, decisions: kept.map(({width, height, video, box, ...event}) =>
    event.status === "edited" ? {...event, box} : event)};
}

function save() {
  const url = URL.createObjectURL(new Blob([JSON.stringify(decisions(), null, 1) + "\\n"], {type: "application/json"}));
  const link = Object.assign(document.createElement("a"), {href: url, download: "decisions.json"});
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  saved = true;
  count();
}

// What is seen of them

function paint(n) {
  const event = events[n], card = cards[n], drawn = event.status === "edited" ? event.box : null;
  card.dataset.status = event.status;
  card.querySelector(".state").textContent = WORDS[event.status];
  for (const still of card.querySelectorAll(".still:not(.none)")) {
    const outline = still.querySelector(".outline");
    still.classList.toggle("layer", !drawn && !!outline);
    if (outline) outline.hidden = !!drawn;
    place(still.querySelector(".region"), drawn || event.seen, event);
  }
}

function place(region, [x0, y0, x1, y1], {width, height}) {
  Object.assign(region.style, {left: 100 * x0 / width + "%", top: 100 * y0 / height + "%",
    width: 100 * (x1 - x0) / width + "%", height: 100 * (y1 - y0) / height + "%"});
}

function count() {
  const of = (status) => events.filter((event) => event.status === status).length;
  const shown = cards.filter((card) => !card.hidden).length;
  byId("counts").innerHTML = `<b>${events.length}</b> events, <b>${shown}</b> shown: <b>${of("auto")}</b> open, ` +
    `${of("accepted")} accepted, ${of("rejected")} rejected, ${of("edited")} redrawn` + (saved ? "" : " (not saved)");
}

function filter() {
  const state = byId("state").value, kind = byId("kind"), name = byId("name").value.toLowerCase();
  cards.forEach((card, n) => {
    const event = events[n];
    card.hidden = !!(state && event.status !== state) || (kind.selectedIndex > 0 && event.kind !== kind.value) ||
      !event.video.toLowerCase().includes(name);
  });
  count();
  if (cards[here]?.hidden) go(Math.max(0, cards.findIndex((card) => !card.hidden)));
}

function go(n) {
  if (!cards[n]) return;
  cards[here].classList.remove("here");
  here = n;
  cards[n].classList.add("here");
  cards[n].focus({preventScroll: true});
  cards[n].scrollIntoView({block: "nearest"});
}

function step(by) {
  for (let n = here + by; cards[n]; n += by) if (!cards[n].hidden) return go(n);
}

// Drawing: on a still of a card, or on the editor's

function drag(still, n, drawn) {
  const event = events[n];
  still.addEventListener("pointerdown", (down) => {
    if (down.button !== 0 || still.classList.contains("none")) return;
    const at = (pointer) => {
      const frame = still.getBoundingClientRect();
      return [(pointer.clientX - frame.left) / frame.width * event.width,
              (pointer.clientY - frame.top) / frame.height * event.height];
    };
    const from = at(down), region = still.querySelector(".region");
    let box = null;
    const move = (pointer) => {
      const to = at(pointer);
      box = within([Math.min(from[0], to[0]), Math.min(from[1], to[1]),
                    Math.max(from[0], to[0]), Math.max(from[1], to[1])], event);
      still.classList.remove("layer");
      place(region, box, event);
    };
    const end = () => {
      still.removeEventListener("pointermove", move);
      if (box && box[2] - box[0] >= 2 && box[3] - box[1] >= 2) drawn(box); else drawn(null);
    };
    still.setPointerCapture(down.pointerId);
    still.addEventListener("pointermove", move);
    still.addEventListener("pointerup", end, {once: true});
    down.preventDefault();
  });
}

function within([x0, y0, x1, y1], {width, height}) {
  return [Math.max(0, Math.floor(x0)), Math.max(0, Math.floor(y0)),
          Math.min(width, Math.ceil(x1)), Math.min(height, Math.ceil(y1))];
}

function redraw(n) {
  const event = events[n], images = [...cards[n].querySelectorAll(".still > img:not(.outline)")];
  if (cards[n].hidden || !images.length) return;
  edit = {n, images, at: Math.min(2, images.length - 1), box: event.status === "edited" ? event.box : event.seen};
  const still = desk.cloneNode(true);  // without the listeners of the last event
  editor.querySelector(".still").replaceWith(still);
  still.style.cssText = `aspect-ratio:${event.width}/${event.height};--ratio:calc(${event.width}/${event.height})`;
  drag(still, n, (box) => { if (box) edit.box = box; show(); });
  show();
  editor.showModal();
}

function show() {
  const still = editor.querySelector(".still");
  still.querySelector("img").src = edit.images[edit.at].src;
  place(still.querySelector(".region"), edit.box, events[edit.n]);
  const [x0, y0, x1, y1] = edit.box;
  byId("where").textContent = `${edit.images[edit.at].alt}: from (${x0}, ${y0}) to (${x1}, ${y1}), ` +
    `${x1 - x0} × ${y1 - y0} of ${events[edit.n].width} × ${events[edit.n].height} pixels`;
}

function keep() {
  const {n, box} = edit;
  editor.close();
  decide([[n, "edited", box]]);
}

function nudge(x, y, resize) {
  const {width, height} = events[edit.n], by = Math.max(1, Math.round(width / 640));
  let [x0, y0, x1, y1] = within(edit.box, events[edit.n]);
  if (!resize) {
    const dx = Math.min(Math.max(x * by, -x0), width - x1), dy = Math.min(Math.max(y * by, -y0), height - y1);
    [x0, y0, x1, y1] = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  } else {
    x1 = Math.min(width, Math.max(x0 + 1, x1 + x * by));
    y1 = Math.min(height, Math.max(y0 + 1, y1 + y * by));
  }
  edit.box = [x0, y0, x1, y1];
  show();
}

// Keys and buttons

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const verdict = (status) => {
  if (cards[here].hidden) return;  // nothing is shown, or an undo led out of the filter
  decide([[here, status, null]]);
  step(1);
};
const KEYS = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
  a: () => verdict("accepted"), r: () => verdict("rejected"), e: () => redraw(here), u: undo, s: save,
  f: () => { const state = byId("state"); state.selectedIndex = (state.selectedIndex + 1) % state.length; filter(); },
};

document.addEventListener("keydown", (key) => {
  if (key.ctrlKey || key.metaKey || key.altKey || /^(INPUT|SELECT)$/.test(key.target.tagName)) return;
  let act = null;
  if (editor.open) {
    if (ARROWS[key.key]) act = () => nudge(...ARROWS[key.key], key.shiftKey);
    else if (key.key === "Enter" && key.target.dataset?.do !== "leave") act = keep;
    else if (key.key === "," || key.key === ".") act = () => {
      edit.at = Math.min(edit.images.length - 1, Math.max(0, edit.at + (key.key === "." ? 1 : -1)));
      show();
    };
  } else if (cards.length) act = KEYS[key.key];
  if (act) { key.preventDefault(); act(); }
});

editor.addEventListener("click", (click) => {
  const act = click.target.closest("button")?.dataset.do;
  if (act === "keep") keep(); else if (act === "leave") editor.close();
});

cards.forEach((card, n) => {
  card.addEventListener("pointerdown", () => go(n));
  card.addEventListener("click", (click) => {
    const act = click.target.closest("button")?.dataset.do;
    if (act === "redraw") redraw(n); else if (act) decide([[n, act, null]]);
  });
  for (const still of card.querySelectorAll(".still"))
    drag(still, n, (box) => { if (box) decide([[n, "edited", box]]); else paint(n); });
});

byId("save").addEventListener("click", save);
byId("rest").addEventListener("click", () => {
  const open = cards.filter((card, n) => !card.hidden && events[n].status === "auto");
  if (open.length) decide(open.map((card) => [+card.dataset.number, "accepted", null]));
});
for (const id of ["state", "kind"]) byId(id).addEventListener("change", filter);
byId("name").addEventListener("input", filter);
addEventListener("beforeunload", (leaving) => { if (!saved) leaving.preventDefault(); });

// What was decided before the page was closed without saving
try {
  const kept = JSON.parse(localStorage.getItem(STORE));
  if (kept?.length === events.length) {
    kept.forEach(([status, box], n) => Object.assign(events[n], {status, box}));
    saved = kept.every(([status], n) => status === found[n]);
  }
} catch {}
events.forEach((event, n) => paint(n));
filter();
go(0);
"""
