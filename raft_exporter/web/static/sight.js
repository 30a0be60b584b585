// Who sees whom, and how near each silence is to its thresholds.

import { byId, each, make, mark, say } from "./dom.js";
import { duration, list, roughly } from "./words.js";

/** Draw the matrix of reporters by members, and beneath it, as text, who is not seen by whom. */
export function drawSight(view, reasons) {
  const reporters = new Map(view.reporters.map((reporter) => [reporter.id, reporter]));
  const names = view.members.map((member) => member.id);
  const judged = new Map(view.members.map((member) => [member.id, member]));
  const table = byId("sight");
  each(table.tHead, names.length ? [names] : [], () => "head", () => make("tr"), (row) => {
    each(row, ["", ...names], (name) => name, (name) => make(name ? "th" : "td"), (cell, name) => {
      if (!name) return;
      mark(cell, "scope", "col");
      say(cell, name);
    });
  });
  each(table.tBodies[0], names, (name) => name, () => make("tr"), (row, name) => {
    const reporter = reporters.get(name);
    each(row, ["", ...names], (member) => member, (member) => make(member ? "td" : "th"), (cell, member) => {
      if (!member) {
        mark(cell, "scope", "row");
        say(cell, name);
        return;
      }
      const own = name === view.node.id ? judged.get(member) : null;
      drawCell(cell, name, reporter, member, own, reasons);
    });
  });
  const unseen = names.map((member) => blindness(member, view.reporters)).filter(Boolean);
  const doubted = names.map((name) => doubt(name, reporters.get(name))).filter(Boolean);
  const all = unseen.length || doubted.length ? [...unseen, ...doubted] : ["Everybody who reports sees everybody."];
  each(byId("unseen"), names.length ? all : [], (_, number) => String(number), () => make("li"), say);
}

function drawCell(cell, name, reporter, member, own, reasons) {
  const sight = reporter?.sees[member];
  const kind = !sight ? "none" : sight.seen ? "seen" : "unseen";
  mark(cell, "data-sight", reporter && !reporter.credible ? `${kind} doubted` : kind);
  say(cell, sight ? seen(sight) : "-");
  const because = own ? ` It judges ${member} ${own.judged_state}: ${reasons[own.reason] ?? own.reason}.` : "";
  const doubts = doubt(name, reporter);
  mark(cell, "title", `${sentence(name, sight, member)}${because}${doubts ? ` ${doubts}` : ""}`);
}

function seen(sight) {
  if (sight.refused) return `${duration(sight.silence_seconds)} refused`;
  return sight.seen ? duration(sight.silence_seconds) : `${duration(sight.silence_seconds)} silent`;
}

function sentence(name, sight, member) {
  if (!sight) return `${name} says nothing of ${member}.`;
  const age = duration(sight.silence_seconds);
  if (sight.refused) return `${name} is refused by ${member}, and last heard it ${age} ago.`;
  return sight.seen ? `${name} heard ${member} ${age} ago.` : `${name} has not heard ${member} for ${age}.`;
}

function blindness(member, reporters) {
  const tell = reporters.filter((reporter) => reporter.sees[member] && reporter.id !== member);
  const blind = tell.filter((reporter) => !reporter.sees[member].seen);
  if (!blind.length) return "";
  const words = blind.map(({ id, sees }) =>
    `${id} (${sees[member].refused ? "refused, " : ""}${roughly(sees[member].silence_seconds)})`);
  const hears = tell.filter((reporter) => reporter.sees[member].seen).map((reporter) => reporter.id);
  return `${member} is not heard by ${list(words)}${hears.length ? `; it is heard by ${list(hears)}` : ""}.`;
}

function doubt(name, reporter) {
  if (!reporter) return `${name} has no sidecar that reports.`;
  if (reporter.credible) return "";
  if (reporter.isolated) return `${name} reaches no majority: its word does not count.`;
  return `${name} last reported ${roughly(reporter.age_seconds)} ago: its word does not count.`;
}

/** Draw two bars for each member: since when it was not heard at all, and since when its main loop was silent. */
export function drawSilence(view) {
  const { suspect_after: suspect, gone_after: gone, alone_after: alone } = view.thresholds_seconds;
  const marks = [suspect, gone, alone];
  say(byId("scale"), `The marks: suspect after ${duration(suspect)}; offline after ${duration(gone)} where other ` +
    `sidecars confirm it, after ${duration(alone)} where none does. Between them the scale is not even.`);
  each(byId("silence"), view.members, (member) => member.id, newBars, (group, member) => {
    drawBar(group.children[1], `${member.id} heard`, member.silence_seconds.any, marks);
    drawBar(group.children[2], `main loop of ${member.id}`, member.silence_seconds.raft, marks);
  });
}

function newBars(member) {
  const group = make("div", "bars");
  group.append(make("h3", "", member.id), newBar("heard"), newBar("main loop"));
  return group;
}

function newBar(label) {
  const line = make("div", "bar");
  const track = make("div", "track");
  track.setAttribute("role", "img");
  track.append(make("div", "fill"), make("i"), make("i"));
  line.append(make("span", "label", label), track, make("span", "value"));
  return line;
}

function drawBar(line, what, seconds, marks) {
  const [, track, value] = line.children;
  const known = seconds !== null;
  const past = marks.filter((threshold) => known && seconds >= threshold).length;
  track.firstElementChild.style.width = `${known ? 100 * part(seconds, marks) : 0}%`;
  mark(track, "data-past", String(past));
  const verdicts = ["below all marks", "above suspect", "above offline, confirmed", "above offline, unconfirmed"];
  mark(track, "aria-label", known ? `${what}: ${duration(seconds)} ago, ${verdicts[past]}` : `${what}: not known`);
  say(value, known ? `${duration(seconds)}${past ? " !" : ""}` : "not known");
}

/** A third of the bar from each mark to the next, so that each of them can be seen. */
function part(seconds, marks) {
  let before = 0;
  for (const [count, threshold] of marks.entries()) {
    if (seconds < threshold) return (count + (seconds - before) / (threshold - before)) / marks.length;
    before = threshold;
  }
  return 1;
}
