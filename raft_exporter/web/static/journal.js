// What happened, the latest first.

import { byId, each, make, mark, say } from "./dom.js";
import { glyph, time } from "./words.js";

const KEPT = 200;
const ALOUD = 5;
let entries = [];

/** Begin with what the sidecar has: after its restart the numbers may begin anew. */
export function beginJournal(events) {
  entries = events.entries;
  draw();
}

/** Take what has happened since, and say it aloud. */
export function addNews(events) {
  entries = [...entries, ...events.entries].slice(-KEPT);
  draw();
  if (events.entries.length) say(byId("news"), events.entries.slice(-ALOUD).map((entry) => entry.text).join(". "));
}

function draw() {
  const items = entries.length ? entries.toReversed() : [null];
  each(byId("journal"), items, (entry) => String(entry?.id ?? ""), newEntry, (item, entry) => {
    if (!entry) return;
    const [at, text] = item.children;
    say(at, time(entry.at));
    mark(at, "datetime", new Date(entry.at * 1000).toISOString());
    say(text, entry.after ? `${glyph(entry.after)} ${entry.text}` : entry.text);
  });
}

function newEntry(entry) {
  const item = make("li", "", entry ? "" : "Nothing has happened yet.");
  if (entry) item.append(make("time"), make("span"));
  return item;
}
