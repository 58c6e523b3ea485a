"use strict";
// One box: what it imitates, what it can be told, and what became of its cases with each pair of stacks.

function parameters(box) {
  if (!box || !(box.parameters || []).length) return null;
  return section("Parameters", table("plain parameters", ["", "default", "what it says", "range"], box.parameters.map((parameter) => [
    element("td", {}, element("code", {}, parameter.name)),
    parameter.default ? element("code", {}, parameter.default) : "must be given",
    parameter.meaning,
    (parameter.choices || []).length ? parameter.choices.join(", ") : parameter.limits || parameter.unit || "",
  ])));
}

function tallyOf(runs) {
  const order = Object.keys(WORDS.verdicts);
  return order.filter((verdict) => runs.some((run) => run.verdict === verdict)).flatMap((verdict) => {
    const count = runs.filter((run) => run.verdict === verdict).length;
    return [element("span", { class: verdict, title: `${count} ${WORDS.verdicts[verdict].word}` },
      element("span", { class: "symbol", "aria-hidden": "true" }, WORDS.verdicts[verdict].symbol),
      element("span", { class: "visually-hidden" }, WORDS.verdicts[verdict].word), ` ${count}`), " "];
  });
}

// Runs of a case and a pair that came to the same stand together, in the order of the matrix.
function cell(runs, pair) {
  const groups = new Map();
  const turn = (run) => Object.keys(WORDS.directions).indexOf(run.direction) * 2 + (run.checksum === "on");
  runs.sort((one, other) => turn(one) - turn(other));
  for (const run of runs) groups.set(`${run.verdict} ${run.words}`, [...(groups.get(`${run.verdict} ${run.words}`) || []), run]);
  const families = Object.keys(WORDS.families);
  return element("td", { "data-label": pair }, [...groups.values()].map((same) => {
    const { verdict, words } = same[0];
    const marks = families.filter((family) => same.some((run) => run.family === family)).map((family) =>
      element("span", {}, `${WORDS.families[family]} `, same.filter((run) => run.family === family).flatMap((run) => [
        element("a", { class: "mark", href: address({ run: run.id, frame: "" }), title: variant(run), "aria-label": `${WORDS.verdicts[verdict].word}, ${words}: ${run.case}, ${variant(run)}` },
          WORDS.arrows[run.direction] + (run.checksum === "on" ? "c" : "")), " "])));
    return element("div", { class: `group ${verdict}` }, element("span", { class: "symbol", "aria-hidden": "true" }, WORDS.verdicts[verdict].symbol),
      element("span", { class: "verdict" }, ` ${WORDS.verdicts[verdict].word} `), element("span", { class: "outcome" }, words), " ",
      element("span", { class: "variants" }, marks));
  }));
}

// What is aimed at one direction in some runs, and at the other in the rest, is told once.
function alike(words) {
  const bare = (text) => text.replaceAll(/direction=to_(server|client)/g, "direction=to_server|to_client");
  return [...new Set(words.map((text) => (words.filter((other) => bare(other) === bare(text)).length > 1 ? bare(text) : text)))];
}

function casesOf(runs, name) {
  const pairs = [...new Set(runs.map((run) => run.pair))];
  const cases = [...new Set(runs.map((run) => run.case))];
  const head = pairs.map((pair) => element("th", { scope: "col", class: "column" }, pair,
    element("span", { class: "share" }, tallyOf(runs.filter((run) => run.pair === pair)))));
  const rows = cases.map((id) => {
    const ofCase = runs.filter((run) => run.case === id);
    const { title, level } = CASES[id];
    const set = alike([...new Set(ofCase.flatMap((run) => run.uses || []))].map((use) => USES[use]).filter((words) => words.includes(name)));
    return element("tr", { class: "row" }, element("th", { scope: "row", class: "case" },
      element("code", {}, id), level === "MUST" ? null : element("span", { class: "level" }, ` ${level}`),
      element("span", { class: "title" }, title), set.map((words) => element("code", { class: "behind" }, words))),
    pairs.map((pair) => cell(ofCase.filter((run) => run.pair === pair), pair)));
  });
  return element("div", { class: "matrix pairs" }, element("table", {},
    element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "case" }, "case"), head)),
    element("tbody", {}, rows)));
}

function rulesOf(runs) {
  const counts = new Map();
  for (const run of runs) for (const rule of (run.rule || []).filter((rule) => rule !== WITNESS)) counts.set(rule, (counts.get(rule) || 0) + 1);
  if (!counts.size) return null;
  const sorted = [...counts].sort(([, one], [, other]) => other - one);
  return section("Rules broken behind it", element("ul", { class: "counts" }, sorted.map(([rule, count]) => element("li", {},
    element("a", { href: address({ rule }) }, element("code", {}, rule)), ` ${counted(count, "run")}`))));
}

// shown: which runs the filters and the box leave over.
function boxPage(name, shown, filtered) {
  const box = BOXES[name];
  const runs = RUNS.filter((run, index) => shown[index]);
  const all = RUNS.filter((run) => (run.box || []).includes(name));
  const clear = Object.fromEntries(["q", "verdict", ...FILTERS].map((filter) => [filter, ""]));
  const count = new Set(all.map((run) => run.case)).size;
  return element("div", { class: "box-page" },
    element("nav", { "aria-label": "Boxes" }, element("a", { href: address({ box: "" }), class: "back" }, "← all cases")),
    element("header", {}, element("h2", {}, element("code", {}, name)),
      element("p", { class: "lead" }, box ? box.summary : "A box that is in no file of middleboxes/."),
      element("p", { class: "quiet" }, [box && box.group, `${counted(all.length, "run")} of ${counted(count, "case")}`].filter(Boolean).join(" · "))),
    parameters(box), rulesOf(runs),
    section("Its cases", filtered ? element("p", { class: "quiet" }, `${runs.length} of ${counted(all.length, "run")} match the filters. `,
      element("a", { href: address(clear) }, "Show all")) : null,
    runs.length ? casesOf(runs, name) : element("p", { class: "empty" }, all.length ? "No run matches these filters." : "No run of this report had it on a path.")));
}
