// The page: follows the sidecar's events and draws what they say.

import { byId, mark, say } from "./dom.js";
import { drawGlance } from "./glance.js";
import { addNews, beginJournal } from "./journal.js";
import { follow } from "./live.js";
import { change, drawOverrides, learn } from "./overrides.js";
import { drawSight, drawSilence } from "./sight.js";
import { roughly } from "./words.js";

let reasons = {};
let version = null;

function draw(view) {
  drawGlance(view, reasons, change);
  drawSight(view, reasons);
  drawSilence(view);
  drawOverrides(view);
}

function greet(hello) {
  reasons = hello.reasons;
  learn(hello);
  // Another version may speak otherwise; what somebody is typing goes first.
  if (version !== null && version !== hello.version && !byId("change").open) location.reload();
  version ??= hello.version;
}

function state(live, age, why) {
  mark(document.body, "data-live", live ? "live" : "stale");
  mark(byId("live"), "data-live", live ? "live" : "stale");
  say(byId("live"), live ? "live" : "stale");
  byId("stale").hidden = live;
  if (live) say(byId("stale"), "");
  else if (age === null) say(byId("stale"), `Not connected to the sidecar: ${why}.`);
  else say(byId("stale"), `Stale: the sidecar was last heard ${since(age)} ago, and ${why}. What is below is what it said then.`);
}

// In steps, so that a screen reader is not told each second.
const since = (age) => roughly(age < 60000 ? Math.max(Math.floor(age / 5000) * 5, 3) : Math.floor(age / 60000) * 60);

// At once where that is possible; within a second the events tell it anyway.
change.done = async () => {
  const answer = await fetch("api/v1/cluster", { cache: "no-store" }).catch(() => null);
  if (answer?.ok) draw(await answer.json());
};
follow("api/v1/stream", { hello: greet, cluster: draw, journal: beginJournal, news: addNews, state });
