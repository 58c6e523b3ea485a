"use strict";
// The overview: filters, and which run or box is open. All live in the address, so that a link shows the same again.

const { runs: RUNS, cases: CASES, uses: USES, boxes: BOXES } = JSON.parse(document.getElementById("index").textContent);
const FILTERS = ["outcome", "topic", "rule", "blame", "pair", "agreement", "family", "direction", "checksum"];
const overview = document.getElementById("overview");
const opened = document.getElementById("run");
const boxed = document.getElementById("box");
const form = document.getElementById("filters");
let current = null; // { id, reveal } of the open run
let place = 0; // where the overview was scrolled to

const met = {}; // how many runs of each case have been met
for (const run of RUNS) {
  const { agreement, topic, title, requirements, packed } = CASES[run.case];
  met[run.case] = (met[run.case] ?? -1) + 1;
  Object.assign(run, { agreement, topic, packed, place: met[run.case] });
  const boxes = (run.uses || []).map((use) => USES[use]);
  run.text = [run.id, run.case, title, run.reason, run.words, ...boxes, ...requirements, ...(run.rule || [])].join(" ").toLowerCase();
}

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
  // A run breaks several rules, blames a stack and its role, and has several boxes.
  const holds = (name) => !state.get(name) || [].concat(run[name] || []).includes(state.get(name));
  return words.every((word) => run.text.includes(word))
    && (!verdicts.length || verdicts.includes(run.verdict))
    && FILTERS.every(holds) && holds("box");
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

function isFiltered(state) {
  return [...state.keys()].some((name) => name === "q" || name === "verdict" || FILTERS.includes(name));
}

function filter(state) {
  const shown = RUNS.map((run) => matches(run, state));
  const isShown = (mark) => shown[Number(mark.dataset.run)];
  for (const mark of overview.querySelectorAll("a.mark")) mark.hidden = !isShown(mark);
  const hideEmpty = (selector) => {
    for (const part of overview.querySelectorAll(selector)) part.hidden = !part.querySelector("a.mark:not([hidden])");
  };
  ["div.group", ".variants > span", ".variants", ".of-case", ".concern", ".ending", ".look .list", "tr.row", ".matrix tbody", ".look"].forEach(hideEmpty);
  // A rule is told only where it is the one that is looked for.
  for (const part of overview.querySelectorAll("[data-rule]")) {
    if (state.get("rule") && state.get("rule") !== part.dataset.rule) part.hidden = true;
  }
  // Who looks for something sees at once what there is of it.
  overview.classList.toggle("filtered", isFiltered(state));
  if (isFiltered(state)) for (const part of overview.querySelectorAll(".ending:not([hidden])")) part.open = true;
  hideColumns(state);
  const count = shown.filter(Boolean).length;
  if (!form) return shown;
  const all = count === RUNS.length;
  document.getElementById("shown").textContent = all ? "" : `${count} of ${RUNS.length} runs`;
  document.getElementById("clear").hidden = all && !isFiltered(state);
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
  const box = readAddress().get("box");
  return element("nav", { "aria-label": "Runs" },
    element("a", { href: address({ run: "", frame: "" }), class: "back" }, box ? `← ${box}` : "← all cases"),
    element("span", { class: "steps" }, step("previous", among[position - 1]), ` ${position + 1} of ${among.length} `, step("next", among[position + 1])));
}

function variant(run) {
  return `${run.pair} · ${WORDS.families[run.family]} · ${WORDS.directions[run.direction]} · checksum ${run.checksum}`;
}

function siblings(index) {
  const others = RUNS.filter((run, other) => run.case === RUNS[index].case && other !== index);
  if (!others.length) return null;
  return element("ul", { class: "siblings" }, others.map((run) => element("li", {},
    element("a", { href: address({ run: run.id, frame: "" }) },
      `${WORDS.verdicts[run.verdict].symbol} ${run.words}`), ` ${variant(run)}`)));
}

function linkToBox(name) {
  return element("a", { href: address({ run: "", frame: "", box: name }) }, element("code", {}, name));
}

async function showRun(id, shown) {
  const index = RUNS.findIndex((run) => run.id === id);
  if (index < 0) {
    opened.replaceChildren(element("p", { class: "problem" }, `There is no run ${id} in this report. `,
      element("a", { href: address({ run: "", frame: "" }) }, "All cases")));
    return { id, reveal: () => {} };
  }
  const links = {
    frame: (frame) => address({ run: id, frame: String(frame) }),
    run: (other) => address({ run: other, frame: "" }),
    box: linkToBox,
    variant: (other) => variant(RUNS.find((run) => run.id === other)),
  };
  const steps = navigation(index, shown);
  if (!("DecompressionStream" in window)) {
    opened.replaceChildren(steps, element("p", { class: "problem" }, "This browser is too old to unfold a run: it lacks DecompressionStream."));
    return { id, reveal: () => {} };
  }
  const made = runPage(await unpack(RUNS[index]), siblings(index), steps, links);
  opened.replaceChildren(made.page);
  return { id, reveal: made.reveal };
}

// Shows one of overview, box and run, and goes where one was in the overview when it comes back.
function turnTo(part) {
  if (!part.hidden && part === overview) return;
  if (!overview.hidden && part !== overview) place = scrollY;
  for (const other of [overview, boxed, opened]) other.hidden = other !== part;
  scrollTo(0, part === overview ? place : 0);
  if (part !== overview) part.focus({ preventScroll: true });
}

async function follow() {
  const state = readAddress();
  const id = state.get("run");
  showControls(state);
  const shown = filter(state);
  if (!id) {
    current = null;
    if (state.get("box")) boxed.replaceChildren(boxPage(state.get("box"), shown, isFiltered(state)));
    turnTo(state.get("box") ? boxed : overview);
    return;
  }
  if (current === null || current.id !== id) {
    const fresh = await showRun(id, shown);
    if (readAddress().get("run") !== id) return; // another was opened meanwhile
    current = fresh;
    turnTo(opened);
  }
  if (state.get("frame")) current.reveal(Number(state.get("frame")));
}

function change(changes) {
  history.replaceState(null, "", address(changes));
  follow();
}

overview.addEventListener("click", (event) => {
  const mark = event.target.closest("a[data-run]");
  const box = event.target.closest("a[data-box]");
  const count = event.target.closest("button.count");
  if ((mark || box) && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
  if (mark) {
    event.preventDefault();
    location.hash = address({ run: RUNS[Number(mark.dataset.run)].id, frame: mark.dataset.frame || "" });
  } else if (box) {
    event.preventDefault();
    location.hash = address({ box: box.dataset.box });
  } else if (count) {
    const verdicts = new Set((readAddress().get("verdict") || "").split(",").filter(Boolean));
    const verdict = count.dataset.verdict;
    if (!verdicts.delete(verdict)) verdicts.add(verdict);
    change({ verdict: [...verdicts].join(",") });
  }
});
overview.addEventListener("mouseover", (event) => {
  const mark = event.target.closest("a.mark");
  if (mark) mark.title = mark.getAttribute("aria-label");
});
if (form) {
  form.addEventListener("input", (event) => change({ [event.target.name]: event.target.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => change({ q: "", verdict: "", ...Object.fromEntries(FILTERS.map((name) => [name, ""])) }));
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const link = { Escape: "a.back", n: "a.next", p: "a.previous" }[event.key];
  const page = [opened, boxed].find((part) => !part.hidden);
  if (link && page) page.querySelector(link)?.click();
});
addEventListener("hashchange", follow);
follow();
