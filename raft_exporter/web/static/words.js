// How numbers and states are written for people; the same as in the terminal (raft_exporter/wording.py).

export const UNKNOWN = "-";

const GLYPHS = {
  online: "●", suspect: "◐", asymmetric: "◩", stalled: "■", offline: "✕", unknown: "?", ignore: "⊘",
};

/** A shape for a state, so that it is never told by its colour alone. */
export const glyph = (state) => GLYPHS[state] ?? "?";

/** Seconds with as many digits as help: 0.31s, 12s, 3m20s, 5h02m. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 10) return `${seconds.toFixed(2)}s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
}

/** A duration in whole seconds, for what is read and not watched. */
export const roughly = (seconds) => (seconds < 60 ? `${Math.round(seconds)}s` : duration(seconds));

/** A term, an index or another whole number. */
export const whole = (number) => (number === null ? UNKNOWN : String(number));

/** Names in a row: a, b and c. */
export function list(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/** What the node says it is; the word for a member's state must not stand for it. */
export const office = (node) => (node.role === "unknown" ? "of unknown role" : node.role);

/** How many may fail, in words. No quorum is lost that voters of unknown state could make. */
export function margin({ quorum, members }) {
  const tolerance = quorum.failure_tolerance;
  if (tolerance === null || !quorum.voters) return "not known yet";
  if (tolerance > 0) return `${tolerance} more may fail`;
  if (tolerance === 0) return "none may fail";
  const unknown = members.filter((member) => member.suffrage === "voter" && member.state === "unknown").length;
  if (tolerance + unknown >= 0) return `quorum unsure: ${unknown} unknown`;
  return `quorum lost: ${-tolerance} ${tolerance === -1 ? "voter is" : "voters are"} missing`;
}

/** How many voters there are, and how many are needed. */
export function voters(quorum) {
  if (quorum.failure_tolerance === null) return "The voters have not been heard yet.";
  return `${quorum.voters_online} of ${quorum.voters} voters online, quorum ${quorum.quorum}`;
}

/** Time of day; with the date, where it is another day. */
export function time(unix, now = new Date()) {
  const at = new Date(unix * 1000);
  const clock = at.toLocaleTimeString(undefined, { hour12: false });
  return at.toDateString() === now.toDateString() ? clock : `${at.toLocaleDateString()} ${clock}`;
}
