// The cluster at a glance, and its members.

import { byId, each, make, mark, say } from "./dom.js";
import { duration, glyph, list, margin, office, roughly, voters, whole } from "./words.js";

/** Draw the head, the three cards and the table of members. */
export function drawGlance(view, reasons, change) {
  const { node, quorum, members } = view;
  const name = node.id ?? "unknown node";
  const tolerance = quorum.failure_tolerance;
  say(byId("who"), name);
  const term = node.term === null ? [] : [`term ${node.term}`];
  say(byId("office"), [office(node), ...term].join(" in "));
  say(byId("version"), `raft-exporter ${view.version}`);
  const words = margin(view);
  document.title = `${name}: ${words}`;

  say(byId("may-fail"), words);
  mark(byId("may-fail"), "data-level", tolerance === null ? "unknown" : level(tolerance));
  say(byId("voters"), voters(quorum));

  say(byId("leader"), node.leader ?? (node.role === "unknown" ? "not told" : "no leader known"));
  mark(byId("leader"), "data-level", node.leader ? "good" : node.role === "unknown" ? "unknown" : "bad");
  const silence = node.leader_silence_seconds;
  const proof = silence === null ? [] : [`proved itself ${duration(silence)} ago`];
  say(byId("leader-silence"), [...term, ...proof].join(", "));

  byId("isolated").hidden = !node.isolated;
  say(byId("isolated"), node.isolated ? `${name} reaches no majority of the voters, so it blames nobody.` : "");
  drawTrouble(members.filter((member) => member.state !== "online"), members.length, reasons);
  each(byId("members").tBodies[0], members, (member) => member.id, newRow,
    (row, member) => drawRow(row, member, reasons, change));
}

const level = (tolerance) => (tolerance > 0 ? "good" : tolerance === 0 ? "danger" : "bad");

function drawState(cell, member) {
  const forced = member.override && (member.override.state === "ignore" ? ", ignored" : ", by hand");
  mark(cell, "data-state", member.state);
  say(cell, `${glyph(member.state)} ${member.state}${forced ?? ""}`);
}

function why(member, reasons) {
  const words = reasons[member.reason] ?? member.reason;
  return `${words}${member.flapping ? "; it is flapping" : ""}${member.restored ? "; not confirmed since" : ""}`;
}

function drawTrouble(members, all, reasons) {
  const items = members.length ? members : [null];
  each(byId("trouble"), items, (member) => member?.id ?? "", () => make("li"), (item, member) => {
    mark(item, "class", member ? "" : "large");
    mark(item, "data-level", member ? null : all ? "good" : "unknown");
    say(item, member ? trouble(member, reasons) : all ? "nobody" : "not known yet");
  });
}

function trouble(member, reasons) {
  if (member.override) return `${member.id} is shown as ${member.state}, by ${member.override.author}`;
  return `${member.id} is ${member.state}: ${why(member, reasons)}`;
}

function newRow(member) {
  const row = make("tr");
  const head = make("th");
  head.scope = "row";
  row.append(head, make("td", "state"), make("td", "why"), make("td", "number since"), make("td"));
  row.append(make("td", "number extra"), make("td", "number extra"), make("td", "extra"), make("td", "override"));
  // Where the page is narrow the rows are no table to the eye, and shall still be one to the ear.
  row.role = "row";
  for (const cell of row.children) cell.role = cell === head ? "rowheader" : "cell";
  const button = make("button", "", "Override");
  button.type = "button";
  button.setAttribute("aria-label", `Override ${member.id}`);
  row.lastElementChild.append(button);
  return row;
}

function drawRow(row, member, reasons, change) {
  const [head, state, reason, since, role, term, index, address, override] = row.children;
  const own = [member.own && "own node", member.suffrage !== "voter" && member.suffrage].filter(Boolean);
  say(head, `${member.id}${own.length ? ` (${list(own)})` : ""}`);
  drawState(state, member);
  const { override: word } = member;
  say(reason, word
    ? `${word.author}: ${word.reason} (${roughly(word.expires_in_seconds)} more; judged ${member.judged_state}: ${why(member, reasons)})`
    : why(member, reasons));
  say(since, duration(member.since_seconds));
  say(role, member.role);
  say(term, whole(member.term));
  say(index, whole(member.last_log_index));
  say(address, member.address);
  override.firstElementChild.onclick = () => change.set(member.id);
}
