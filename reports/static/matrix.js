"use strict";
// The matrix: filters, and which run is open. Both live in the address, so that a link shows the same again.

const RUNS = JSON.parse(document.getElementById("index").textContent);
const FILTERS = ["outcome", "topic", "pair", "agreement", "family", "direction", "checksum"];
const overview = document.getElementById("overview");
const opened = document.getElementById("run");
const form = document.getElementById("filters");
let current = null; // { id, reveal } of the open run
let place = 0; // where the overview was scrolled to

function readAddress() {
  return new URLSearchParams(location.hash.slice(1));
}

function address(changes) {
  const state = readAddress();
  for (const [name, value] of Object.entries(changes)) {
    if (value) state.set(name, value);
    else state.delete(name);
  }
  return `#${state}`;
}

function matches(run, state) {
  const words = (state.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = (state.get("verdict") || "").split(",").filter(Boolean);
  return words.every((word) => run.text.includes(word))
    && (!verdicts.length || verdicts.includes(run.verdict))
    && FILTERS.every((name) => !state.get(name) || run[name] === state.get(name));
}

// A stack pair or family that is filtered out takes its columns along.
function hideColumns(state) {
  const table = overview.querySelector(".matrix table");
  if (!table) return;
  // A column of a whole pair has runs of every family.
  const differs = (part, name) => Boolean(state.get(name)) && name in part.dataset && part.dataset[name] !== state.get(name);
  for (const part of table.querySelectorAll(".column")) part.hidden = differs(part, "pair") || differs(part, "family");
  const columns = [...table.querySelectorAll("th.column:not([hidden])")];
  for (const head of table.querySelectorAll("th.pair")) {
    const width = columns.filter((column) => column.dataset.pair === head.dataset.pair).length;
    head.hidden = !width;
    head.colSpan = width || 1;
  }
  for (const topic of table.querySelectorAll(".topic th")) topic.colSpan = columns.length + 1;
}

function filter(state) {
  const shown = RUNS.map((run) => matches(run, state));
  const isShown = (mark) => shown[Number(mark.dataset.run)];
  for (const mark of overview.querySelectorAll("a.mark")) mark.hidden = !isShown(mark);
  const hideEmpty = (selector) => {
    for (const part of overview.querySelectorAll(selector)) part.hidden = !part.querySelector("a.mark:not([hidden])");
  };
  ["div.group", ".variants > span", ".variants", ".concern", "tr.row", ".matrix tbody", ".look"].forEach(hideEmpty);
  hideColumns(state);
  const count = shown.filter(Boolean).length;
  if (!form) return shown;
  const all = count === RUNS.length;
  document.getElementById("shown").textContent = all ? "" : `${count} of ${RUNS.length} runs`;
  document.getElementById("clear").hidden = all && ![...state.keys()].some((name) => name === "q" || name === "verdict" || FILTERS.includes(name));
  document.getElementById("nothing").hidden = count > 0;
  overview.querySelector(".matrix").hidden = !count;
  return shown;
}

function showControls(state) {
  const verdicts = (state.get("verdict") || "").split(",");
  for (const button of overview.querySelectorAll("button.count")) {
    button.setAttribute("aria-pressed", String(verdicts.includes(button.dataset.verdict)));
  }
  if (!form) return;
  for (const control of form.elements) {
    if (control.name && document.activeElement !== control) control.value = state.get(control.name) || "";
  }
}

function navigation(index, shown) {
  const among = [...RUNS.keys()].filter((other) => shown[other] || other === index);
  const position = among.indexOf(index);
  const step = (name, other) => (other === undefined ? element("span", { class: "quiet" }, name)
    : element("a", { href: address({ run: RUNS[other].id, frame: "" }), class: name }, name));
  return element("nav", { "aria-label": "Runs" },
    element("a", { href: address({ run: "", frame: "" }), class: "back" }, "← all cases"),
    element("span", { class: "steps" }, step("previous", among[position - 1]), ` ${position + 1} of ${among.length} `, step("next", among[position + 1])));
}

function siblings(index) {
  const others = RUNS.filter((run, other) => run.case === RUNS[index].case && other !== index);
  if (!others.length) return null;
  return element("ul", { class: "siblings" }, others.map((run) => element("li", {},
    element("a", { href: address({ run: run.id, frame: "" }) },
      `${WORDS.verdicts[run.verdict].symbol} ${run.words}`),
    ` ${run.pair} · ${WORDS.families[run.family]} · ${WORDS.directions[run.direction]} · checksum ${run.checksum}`)));
}

async function showRun(id, shown) {
  const index = RUNS.findIndex((run) => run.id === id);
  if (index < 0) {
    opened.replaceChildren(element("p", { class: "problem" }, `There is no run ${id} in this report. `,
      element("a", { href: address({ run: "", frame: "" }) }, "All cases")));
    return { id, reveal: () => {} };
  }
  const linkTo = (frame) => address({ run: id, frame: String(frame) });
  const steps = navigation(index, shown);
  if (!("DecompressionStream" in window)) {
    opened.replaceChildren(steps, element("p", { class: "problem" }, "This browser is too old to unfold a run: it lacks DecompressionStream."));
    return { id, reveal: () => {} };
  }
  const made = runPage(await unpack(index), siblings(index), steps, linkTo);
  opened.replaceChildren(made.page);
  return { id, reveal: made.reveal };
}

async function follow() {
  const state = readAddress();
  const id = state.get("run");
  showControls(state);
  const shown = filter(state);
  if (!id) {
    const closing = current !== null;
    current = null;
    opened.hidden = true;
    overview.hidden = false;
    if (closing) scrollTo(0, place);
    return;
  }
  if (current === null) place = scrollY;
  if (current === null || current.id !== id) {
    const fresh = await showRun(id, shown);
    if (readAddress().get("run") !== id) return; // another was opened meanwhile
    current = fresh;
    overview.hidden = true;
    opened.hidden = false;
    scrollTo(0, 0);
    opened.focus({ preventScroll: true });
  }
  if (state.get("frame")) current.reveal(Number(state.get("frame")));
}

function change(changes) {
  history.replaceState(null, "", address(changes));
  follow();
}

overview.addEventListener("click", (event) => {
  const mark = event.target.closest("a[data-run]");
  const count = event.target.closest("button.count");
  if (mark && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    location.hash = address({ run: RUNS[Number(mark.dataset.run)].id, frame: "" });
  } else if (count) {
    const verdicts = new Set((readAddress().get("verdict") || "").split(",").filter(Boolean));
    const verdict = count.dataset.verdict;
    if (!verdicts.delete(verdict)) verdicts.add(verdict);
    change({ verdict: [...verdicts].join(",") });
  }
});
if (form) {
  form.addEventListener("input", (event) => change({ [event.target.name]: event.target.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => change({ q: "", verdict: "", ...Object.fromEntries(FILTERS.map((name) => [name, ""])) }));
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const link = { Escape: "a.back", n: "a.next", p: "a.previous" }[event.key];
  if (link && !opened.hidden) opened.querySelector(link)?.click();
});
addEventListener("hashchange", follow);
follow();
