"use strict";
// One run: what was expected and seen, and the ladder of its packets. Strings from the data become text
// nodes and attribute values, never markup.

const WORDS = JSON.parse(document.getElementById("words").textContent);
const WITNESS = "witness"; // the rule of findings on which a stack and its packets contradict each other
const LEVELS = ["MUST", "SHOULD", "MAY"];
const MOST_CITED = 6; // frames in the line below a verdict
const UNEVENTFUL_GAP = 100000; // microseconds between two rows that are worth a line of their own
const FATES = {
  changed: ["◆", "changed by the boxes"],
  split: ["◆", "split by the boxes"],
  dropped: ["✕", "dropped by the boxes"],
  withheld: ["✕", "not let through"],
  lost: ["✕", "did not come out"],
  held: ["‖", "held by the boxes"],
  sent: ["●", "sent by the boxes"],
};

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "onclick") made.addEventListener("click", value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function number(value) {
  return value === null || value === undefined ? "" : value.toLocaleString("en").replaceAll(",", "\u202f");
}

function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

// The runs of a case are packed together.
async function unpack({ packed: number, place }) {
  const packed = atob(document.getElementById(`packed-${number}`).textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text())[place];
}

function table(kind, head, rows) {
  return element("div", { class: "scroll" }, element("table", { class: kind },
    element("thead", {}, element("tr", {}, head.map((name) => (name instanceof Node ? name : element("th", { scope: "col" }, name))))),
    element("tbody", {}, rows.map((cells) => element("tr", { class: cells.kind },
      cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : element("td", {}, cell))))))));
}

function numeric(name) {
  return element("th", { scope: "col", class: "number" }, name);
}

function section(title, ...content) {
  return element("section", {}, element("h3", {}, title), ...content);
}

function badge(verdict) {
  const { symbol, word } = WORDS.verdicts[verdict];
  return element("span", { class: `badge ${verdict}` },
    element("span", { class: "symbol", "aria-hidden": "true" }, symbol), ` ${word}`);
}

// -- the parts beside the ladder --------------------------------------------------------------------

function command(text) {
  const code = element("code", {}, text);
  const button = element("button", { type: "button", class: "copy" }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(code); // a page opened from disk may lack the clipboard
      document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  return element("div", { class: "command" }, element("pre", {}, code), button);
}

// The words of a verdict name frames; where the ladder is here, they lead to it.
function linked(text, links) {
  if (!links.frame) return [text];
  return text.split(/\b(frame \d+)/).map((part, place) => (place % 2
    ? element("a", { href: links.frame(Number(part.slice(6))), class: "frame-link" }, part) : part));
}

function evidence(item, links) {
  if (!item.frame) return element("li", {}, item.words);
  return element("li", {}, linked(`frame ${item.frame}`, links), item.words ? ` ${item.words}` : "");
}

function host(run, role) {
  return `${role} (${run[role]})`;
}

// A rule's words begin with the host that broke it; here its stack is named besides.
function seen(run, finding) {
  const { who, actual } = finding;
  if (who && actual.startsWith(`${who}: `)) return [element("b", {}, host(run, who)), actual.slice(who.length)];
  return [actual];
}

function findingItem(run, finding, links) {
  const contradicts = finding.rule === WITNESS;
  const [kind, symbol, words] = finding.met ? ["met", "✓", "met"] : contradicts ? ["contradicts", "≠", "contradicts"] : ["unmet", "✗", "not met"];
  const source = [finding.clause, contradicts ? "" : finding.level, contradicts ? "" : finding.rule || finding.requirement].filter(Boolean).join(" · ");
  const frames = finding.evidence.filter((item) => item.frame).length;
  const times = finding.count > 1 ? `${number(finding.count)} times${frames && frames < finding.count ? `; the first${frames > 1 ? ` ${frames}` : ""}:` : ""}` : "";
  const blame = !finding.met && !finding.rule && finding.who ? `to blame: ${host(run, finding.who)}` : "";
  return element("li", { class: kind },
    element("span", { class: "symbol", title: words }, symbol, element("span", { class: "visually-hidden" }, ` ${words}`)),
    element("div", {},
      element("p", { class: "expected" }, finding.expected, " ", element("span", { class: "level" }, source)),
      element("p", { class: "actual" }, seen(run, finding)),
      blame || times ? element("p", { class: "quiet" }, [blame, times].filter(Boolean).join("; ")) : null,
      finding.evidence.length ? element("ul", { class: "evidence" }, finding.evidence.map((item) => evidence(item, links))) : null));
}

function findings(run, links) {
  const part = (title, chosen, note) => {
    const some = run.findings.filter(chosen);
    return some.length ? section(title, note ? element("p", { class: "quiet" }, note) : null,
      element("ol", { class: "findings" }, some.map((finding) => findingItem(run, finding, links)))) : null;
  };
  const notes = run.findings.filter((finding) => !finding.expected && !finding.rule);
  return [
    part("Rules that were broken", (finding) => finding.rule && finding.rule !== WITNESS,
      "They hold in every case, whatever it expects."),
    part("Expected and seen", (finding) => !finding.rule && finding.expected),
    notes.length ? section("What the stack chose", element("ul", {}, notes.map((note) => element("li", {}, note.actual)))) : null,
    part("Contradictions", (finding) => finding.rule === WITNESS,
      "A stack's own counters against its packets. No verdict depends on them."),
  ].filter(Boolean);
}

// The findings that a verdict rests on: those missed of the highest level, or else all that were met.
function deciding(run) {
  const missed = run.findings.filter((finding) => !finding.met && finding.rule !== WITNESS);
  for (const level of LEVELS) {
    const some = missed.filter((finding) => finding.level === level);
    if (some.length) return some;
  }
  return run.findings.filter((finding) => finding.met && finding.expected);
}

function grounds(run, links) {
  const found = deciding(run);
  const some = (values) => [...new Set(values.filter(Boolean))];
  const clauses = some(found.flatMap((finding) => finding.clause.split(", ")));
  const frames = some(found.flatMap((finding) => finding.evidence.map((item) => item.frame))).sort((one, other) => one - other);
  const shown = frames.slice(0, MOST_CITED).flatMap((frame, place) => [place ? ", " : "", linked(`frame ${frame}`, links)]).flat();
  const parts = [
    [element("b", {}, run.level)], clauses.length ? [clauses.join(", ")] : [],
    run.blame.length ? ["to blame: ", element("b", {}, run.blame.map((role) => host(run, role)).join(", "))] : [],
    frames.length ? ["shown by ", ...shown, frames.length > MOST_CITED ? ` and ${frames.length - MOST_CITED} more` : ""] : [],
  ].filter((part) => part.length);
  return element("p", { class: "grounds" }, parts.flatMap((part, place) => (place ? [" · ", ...part] : part)));
}

function controls(run) {
  if (!(run.controls || []).length) return null;
  const without = { "pass-through": "without the boxes", "regular TCP": "regular TCP through the same boxes" };
  return section("Controls", element("p", { class: "quiet" }, "The same run with something left out, which tells whose fault a failure is."),
    element("ul", { class: "controls" }, run.controls.map((control) => element("li", {}, `${without[control.kind]}: `,
      element("b", {}, control.outcome.replaceAll("_", " ")), `: ${control.reason}`))));
}

function boxes(run, links) {
  if (!run.boxes.length) return section("Boxes", element("p", { class: "quiet" }, "None on any path."));
  return section("Boxes", table("plain", ["path", "box", numeric("packets acted on")], run.boxes.map((use) => {
    const [name] = use.box.split("(", 1);
    return [use.path, element("td", {}, links.box(name), element("code", {}, use.box.slice(name.length))),
      element("td", { class: "number" }, number(use.deeds))];
  })));
}

function streams(run) {
  if (!run.streams.length) return null;
  const rows = run.streams.map((stream) => {
    const difference = stream.first_difference === null ? "none"
      : `from octet ${number(stream.first_difference)}${stream.expected_difference ? ", as regular TCP would have it" : ""}`;
    const row = [`${WORDS.arrows[stream.direction]} ${WORDS.directions[stream.direction]}`,
      ...[stream.intended, stream.sent, stream.received].map((octets) => element("td", { class: "number" }, number(octets))),
      difference, stream.error || (stream.end_seen ? "end of stream" : "not told of an end")];
    const whole = stream.received === stream.intended && (stream.first_difference === null || stream.expected_difference);
    row.kind = whole ? "" : "wrong";
    return row;
  });
  return section("Streams, in octets", table("plain", ["", numeric("intended"), numeric("sent"), numeric("received"), "difference", "reader"], rows));
}

function noted(title, events) {
  if (!events || !events.length) return null;
  return element("details", {}, element("summary", {}, `${title} (${events.length})`),
    element("ol", { class: "noted" }, events.map((event) => element("li", {}, event))));
}

function stacks(run) {
  const hosts = Object.keys(run.stacks);
  if (!hosts.length) return null;
  const still = { true: "still MPTCP", false: "no longer MPTCP" };
  const heading = hosts.map((host) => `${host}: ${run.stacks[host].name}`);
  const summary = hosts.map((host) => `${host}: ${still[run.stacks[host].still_mptcp] || "cannot tell"}`);
  const rowsOf = (values, wanted) => [...new Set(hosts.flatMap((host) => Object.keys(values(run.stacks[host]))))]
    .filter(wanted).sort().map((name) => [element("td", {}, element("code", {}, name)),
      ...hosts.map((host) => element("td", { class: "number" }, String(values(run.stacks[host])[name] ?? "")))]);
  // Of a kernel's counters, those of MPTCP; an endpoint of MPTCP alone counts nothing else.
  const ofMptcp = (name) => !/^(Icmp|Ip|Tcp|Udp)/.test(name);
  const mptcp = rowsOf((stack) => stack.counters, ofMptcp);
  const others = rowsOf((stack) => stack.counters, (name) => !ofMptcp(name));
  const info = rowsOf((stack) => stack.info, () => true);
  const folded = (title, rows) => (rows.length
    ? element("details", {}, element("summary", {}, `${title} (${rows.length})`), table("plain counters", ["", ...heading.map(numeric)], rows)) : null);
  return section("What the stacks say", element("p", {}, summary.join("; "), "."),
    mptcp.length ? table("plain counters", ["MPTCP counters that moved", ...heading.map(numeric)], mptcp)
      : element("p", { class: "quiet" }, "No MPTCP counter moved."),
    folded("Other counters that moved", others), folded("Socket", info),
    hosts.map((host) => noted(`What the ${host} noted`, run.stacks[host].events)));
}

// -- the ladder -------------------------------------------------------------------------------------

function option(label) {
  const kind = `option ${label.mptcp ? "mptcp" : ""} ${label.change || ""}`;
  const tag = { removed: "del", added: "ins" }[label.change] || "span";
  return element(tag, { class: kind, title: label.words }, element("b", {}, label.name), label.detail ? ` ${label.detail}` : "");
}

// Timestamps are on nearly every segment: they are named where one looks for them or a box touched them.
function worthNaming(label, view) {
  return label.change || label.mptcp || view.flags.includes("SYN") || !["timestamps", "End of Option List"].includes(label.name);
}

function options(entry, out) {
  const named = entry ? (entry.options || []).filter((label) => worthNaming(label, entry)) : [];
  const added = out ? (out.options || []).filter((label) => (entry ? label.change === "added" : worthNaming(label, out))) : [];
  return [...named, ...added].flatMap((label) => [option(label), " "]);
}

function numberCell(kind, name, before, after) {
  const both = before !== undefined && after !== undefined && before !== after;
  const text = both ? [element("del", {}, number(before)), " ", element("ins", {}, number(after))] : [number(before ?? after)];
  return element("td", { class: `number ${kind}` }, before === undefined && after === undefined ? ""
    : [element("span", { class: "name" }, `${name} `), ...text]);
}

function lane(row, part, flags, hasBoxes) {
  const toServer = row.direction === "to_server";
  const [symbol, words] = FATES[row.fate] || ["", ""];
  const legs = [];
  const entering = part === "in" || part === "both";
  const leaving = part === "out" || part === "both";
  if (row.fate === "through" && part === "both") legs.push("whole");
  else {
    if (entering) legs.push(toServer ? "left" : "right");
    if (leaving) legs.push(toServer ? "right" : "left");
  }
  const way = toServer ? "client to server" : "server to client";
  return element("td", { class: `lane ${toServer ? "to-server" : "to-client"}${hasBoxes ? " boxed" : ""}` },
    element("span", { class: "visually-hidden" }, `${way}${words ? `, ${words}` : ""}: `),
    legs.map((leg) => element("span", { class: `leg ${leg}`, "aria-hidden": "true" })),
    symbol && (part !== "out" || row.fate === "sent") ? element("span", { class: "at-box", title: words, "aria-hidden": "true" }, symbol) : null,
    element("span", { class: `flags ${entering === toServer ? "left" : "right"}` }, flags));
}

function line(row, part, before, after, words, context) {
  const view = before || after;
  const frames = [before, after].filter(Boolean).map((seen) => seen.frame);
  const open = element("button", { type: "button", class: "time", "aria-expanded": "false", title: "show the packet in full" },
    (view.time / 1e6).toFixed(6));
  const fields = ["seq", "ack", "length"].map((name) => {
    const value = (seen) => (seen ? seen[name] : undefined);
    const out = row.fate === "through" ? undefined : value(after);
    return numberCell(name, name === "length" ? "len" : name, value(before), out);
  });
  const flags = before && after && after.flags && before.flags !== after.flags ? `${before.flags} → ${after.flags}` : view.flags;
  const missed = frames.flatMap((frame) => (context.evidence.get(frame) || []).filter(({ finding }) => !finding.met));
  const mark = missed.some(({ finding }) => finding.rule !== WITNESS) ? " marked" : missed.length ? " doubtful" : "";
  const made = element("tr", { class: `packet ${row.fate}${mark} sf-${(row.subflow || 0) % 5}`, id: `frame-${frames[0]}` },
    element("td", { class: "when" }, open),
    element("td", { class: "frames" }, frames.join(" → ")),
    context.several ? element("td", { class: "subflow", title: row.path }, row.subflow ? String(row.subflow) : "") : null,
    lane(row, part, flags, row.fate !== "through" || context.boxes.has(row.path)), fields,
    element("td", { class: "options" }, options(before, after), words));
  frames.forEach((frame) => context.lines.set(frame, made));
  open.addEventListener("click", () => {
    const shown = open.getAttribute("aria-expanded") === "true";
    open.setAttribute("aria-expanded", String(!shown));
    if (shown) made.nextElementSibling.remove();
    else made.after(inFull([before, after].filter(Boolean), row, context));
  });
  return made;
}

function onTheWire(view, ends) {
  const [seq, window, ack] = view.absolute || [];
  return [ends[view.ends], view.flags, seq === undefined ? "" : `seq ${seq}`, ack === undefined ? "" : `ack ${ack}`,
    `length ${view.length || 0}`, window === undefined ? "" : `window ${window}`].filter(Boolean).join(" ");
}

function inFull(views, row, context) {
  return element("tr", { class: "full" }, element("td", { colspan: context.width }, views.map((view) =>
    element("div", {},
      element("p", {}, element("b", {}, `frame ${view.frame}`), ` at ${(view.time / 1e6).toFixed(6)} s, path ${row.path || "?"}`,
        view.flags ? "" : ": as it entered"),
      view.flags ? element("p", { class: "wire" }, view.problem || onTheWire(view, context.ends)) : null,
      (view.options || []).length ? element("ul", {}, view.options.map((label) => element("li", {}, label.words))) : null))));
}

function notes(row, frames, context) {
  const found = [];
  if (row.fate === "lost") found.push(element("p", { class: "deed" }, "did not come out of the path"));
  if ((row.origins || []).length) found.push(element("p", { class: "deed" }, `from frame ${row.origins.join(", ")}`));
  for (const words of row.remarks || []) {
    found.push(element("p", { class: "remark", title: words === "reinjection" ? "data that was sent before, under other subflow sequence numbers" : "" }, words));
  }
  for (const words of row.deeds || []) {
    // A translator does the same to every packet: in full the first time, then by the box's name.
    const known = words.length > 40 && context.deeds.has(words);
    context.deeds.add(words);
    found.push(element("p", { class: "deed", title: known && words }, known ? `${words.split(" ", 1)[0]}, as above` : words));
  }
  const told = new Set();
  for (const frame of frames) for (const { finding, item } of context.evidence.get(frame) || []) {
    const missed = finding.rule && finding.rule !== WITNESS
      ? [`${finding.clause} ${finding.rule}`, item.words] : [finding.rule ? finding.expected : `expected: ${finding.expected}`, item.words];
    const words = finding.met ? item.words : missed.filter(Boolean).join("; ");
    if (!words.length || told.has(String(words)) || (row.deeds || []).some((deed) => deed.includes(words))) continue;
    told.add(String(words));
    const [kind, symbol] = finding.met ? ["shows", "✓"] : finding.rule === WITNESS ? ["contradiction", "≠"] : ["breach", "✗"];
    found.push(element("p", { class: kind }, `${symbol} ${words}`));
  }
  if (!told.size) for (const words of row.failures || []) found.push(element("p", { class: "breach" }, `✗ ${words}`));
  return found;
}

function packetRows(row, context) {
  const made = [];
  const exits = row.exits || [];
  const frames = [row.entry, ...exits].filter(Boolean).map((view) => view.frame);
  const first = row.entry || exits[0];
  const gap = first.time - context.before;
  if (context.before !== null && gap >= UNEVENTFUL_GAP) {
    made.push(element("tr", { class: "gap" }, element("td", { colspan: context.width },
      `${gap >= 1e6 ? (gap / 1e6).toFixed(2) + " s" : Math.round(gap / 1e3) + " ms"} later`)));
  }
  context.before = first.time;
  const words = notes(row, frames, context);
  if (row.fate === "through" || row.fate === "changed") made.push(line(row, "both", row.entry, exits[0], words, context));
  else {
    if (row.entry) made.push(line(row, "in", row.entry, undefined, words, context));
    for (const out of exits) made.push(line(row, "out", undefined, out, row.entry ? [] : words, context));
  }
  return made;
}

function elided(item, context) {
  const rows = item.rows || [];
  const words = `… ${item.words}${item.left_out ? "; in the capture only" : ""} …`;
  const made = element("tr", { class: "elided" });
  const body = [];
  for (const row of rows) {
    const framesOf = [row.entry, ...(row.exits || [])].filter(Boolean).map((view) => view.frame);
    framesOf.forEach((frame) => context.folded.set(frame, () => unfold()));
  }
  function unfold() {
    if (body.length) return;
    const inner = { ...context, before: null };
    body.push(...rows.flatMap((row) => packetRows(row, inner)));
    made.after(...body);
    made.classList.add("unfolded");
  }
  function fold() {
    body.splice(0).forEach((part) => { if (part.nextElementSibling?.classList.contains("full")) part.nextElementSibling.remove(); part.remove(); });
    made.classList.remove("unfolded");
  }
  const content = rows.length
    ? element("button", { type: "button", onclick: () => (body.length ? fold() : unfold()) }, words)
    : element("span", {}, words);
  made.append(element("td", { colspan: context.width }, content));
  const last = rows.at(-1);
  if (last) context.before = (last.entry || last.exits[0]).time;
  return made;
}

function elsewhere(data, links) {
  return section("Packets", element("p", {}, "The same case came to the same end with ",
    element("a", { href: links.run(data.told_by) }, links.variant(data.told_by)), ", whose packets are told for all of them. Those of this run are in its ",
    data.capture ? element("a", { href: data.capture, download: true }, "capture") : "capture", ", and ",
    element("code", {}, "mbtest show"), " prints them."));
}

function ladder(data, context, links) {
  const { run } = data;
  if (data.told_by) return elsewhere(data, links);
  const story = data.ladder;
  const problem = story.problem ? element("p", { class: "problem" }, story.problem) : null;
  const items = story.items || [];
  const link = data.capture ? element("a", { href: data.capture, download: true }, "capture") : null;
  if (!items.length) return section("Packets", problem || element("p", { class: "quiet" }, "No packet was captured."), link);
  const subflows = story.subflows || [];
  const paths = story.paths || [];
  context.several = subflows.length > 1 || paths.length > 1;
  context.boxed = run.boxes.length > 0 || items.some((item) => item.fate && item.fate !== "through");
  context.ends = story.ends || [];
  context.boxes = new Set(run.boxes.map((use) => use.path));
  context.width = context.several ? 8 : 7;
  const names = [...new Set(run.boxes.map((use) => use.box.split("(")[0]))];
  const middle = names.length === 1 ? names[0] : "boxes";
  const head = element("thead", {}, element("tr", {},
    element("th", { scope: "col", class: "when" }, "time, s"), element("th", { scope: "col", class: "frames" }, "frame"),
    context.several ? element("th", { scope: "col", class: "subflow", title: "subflow" }, "sf") : null,
    element("th", { scope: "col", class: "lane" }, element("span", { class: "ends" }, element("span", {}, "client"),
      context.boxed ? element("span", { class: "middle", title: names.join(", ") }, middle) : null, element("span", {}, "server"))),
    element("th", { scope: "col", class: "number" }, "seq"), element("th", { scope: "col", class: "number" }, "ack"),
    element("th", { scope: "col", class: "number" }, "len"), element("th", { scope: "col", class: "options" }, "options, and what was done")));
  const body = element("tbody", {}, items.flatMap((item) => (item.fate ? packetRows(item, context) : [elided(item, context)])));
  const legend = subflows.length ? element("ul", { class: "subflows" }, subflows.map((subflow) =>
    element("li", { class: `sf-${subflow.number % 5}` }, context.several ? element("span", { class: "swatch" }, String(subflow.number)) : null,
      " ", element("code", {}, subflow.ends), ` ${subflow.opening}, path ${subflow.path}`,
      subflow.outside ? [", behind the boxes ", element("code", {}, subflow.outside)] : ""))) : null;
  return section("Packets", problem, legend,
    element("p", { class: "quiet" }, "Numbers are relative; a time opens the packet in full. ", link, link ? `, ${number(story.frames)} frames.` : ""),
    element("table", { class: `ladder${context.several ? " several" : ""}` }, head, body));
}

// -- the page of a run ------------------------------------------------------------------------------

function runPage(data, siblings, navigation, linksTo) {
  const { run } = data;
  const links = { ...linksTo, frame: (data.ladder.items || []).length ? linksTo.frame : null };
  const context = { lines: new Map(), folded: new Map(), evidence: new Map(), deeds: new Set(), before: null };
  for (const finding of run.findings) for (const item of finding.evidence) {
    if (item.frame) context.evidence.set(item.frame, [...(context.evidence.get(item.frame) || []), { finding, item }]);
  }
  const facts = [`${run.client} → ${run.server}`, WORDS.families[run.family], WORDS.directions[run.direction],
    `checksum ${run.checksum ? "on" : "off"}`, `topology ${run.topology}`, `seed ${run.seed}`, `${run.seconds.toFixed(2)} s`];
  const page = element("div", { class: "run-page" }, navigation,
    element("header", {},
      element("h2", {}, badge(run.verdict), element("span", { class: "outcome" }, `: ${data.outcome}`)),
      element("p", { class: "claim" }, element("code", {}, run.case), " ", run.title),
      element("p", { class: "facts-line" }, facts.join(" · ")),
      run.reason.split(/; (?=expected: |broken: )/).map((part) => element("p", { class: "reason" }, linked(part, links))),
      grounds(run, links),
      run.requirements.length ? element("p", { class: "quiet" }, `tests ${run.requirements.join(", ")}`) : null),
    command(run.repeat),
    element("div", { class: "parts" }, element("div", {}, findings(run, links)),
      element("div", {}, boxes(run, links), controls(run), streams(run))),
    ladder(data, context, links), stacks(run),
    siblings ? section("Other runs of this case", siblings) : null);
  function reveal(frame) {
    if (!context.lines.has(frame) && context.folded.has(frame)) context.folded.get(frame)();
    const found = context.lines.get(frame);
    page.querySelectorAll(".pointed").forEach((row) => row.classList.remove("pointed"));
    if (!found) return;
    found.classList.add("pointed");
    found.scrollIntoView({ block: "center" });
  }
  return { page, reveal };
}
