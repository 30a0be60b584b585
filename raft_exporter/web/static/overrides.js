// The operator's word: what stands, and setting and clearing it.

import { byId, each, make, say } from "./dom.js";
import { glyph, roughly } from "./words.js";

const dialog = byId("change");
const form = dialog.querySelector("form");
const fields = form.elements;
let withToken = false;
let send = null;

/** Learn what can be forced, and whether a token is asked for. */
export function learn(hello) {
  withToken = hello.changes === "token";
  each(fields.state, hello.forced, (state) => state, (state) => make("option"), (option, state) => {
    option.value = state;
    say(option, state === "ignore" ? "ignore (shown as judged, no alert)" : state);
  });
  byId("token-label").hidden = !withToken;
  fields.token.disabled = !withToken;
}

/** Draw the overrides that stand. */
export function drawOverrides(view) {
  const standing = view.members.filter((member) => member.override);
  const items = standing.length ? standing : [null];
  each(byId("overrides"), items, (member) => member?.id ?? "", newItem, (item, member) => {
    if (!member) return;
    const { state, author, reason, expires_in_seconds: left } = member.override;
    const what = state === "ignore" ? "ignored" : `shown as ${glyph(state)} ${state}`;
    say(item.firstElementChild, `${member.id} is ${what} for ${roughly(left)} more, by ${author}: ${reason}`);
    item.lastElementChild.onclick = () => change.clear(member.id);
  });
}

function newItem(member) {
  const item = make("li", "", member ? "" : "None stands.");
  if (!member) return item;
  const button = make("button", "", "Clear");
  button.type = "button";
  button.setAttribute("aria-label", `Clear the override of ${member.id}`);
  item.append(make("span"), button);
  return item;
}

/** Ask for what is needed to set or to clear the override of a member. `done()` is told when it is carried out. */
export const change = {
  done: () => {},

  set(peer) {
    ask(`Override ${peer}`, "Set", true);
    say(byId("change-note"), "All sidecars will show it so until it expires. The judgement goes on beneath it.");
    send = () => call(peer, "PUT", {}, {
      state: fields.state.value,
      for_seconds: Number(fields.for.value),
      reason: fields.reason.value,
      author: fields.author.value,
    });
  },

  clear(peer) {
    ask(`Clear the override of ${peer}`, "Clear", false);
    say(byId("change-note"), "All sidecars will show it as it is judged.");
    send = () => call(peer, "DELETE", { author: fields.author.value, reason: fields.reason.value });
  },
};

function ask(title, verb, sets) {
  say(byId("change-title"), title);
  say(byId("change-submit"), verb);
  say(byId("change-error"), "");
  byId("only-set").hidden = !sets;
  fields.state.value = "ignore";
  fields.reason.required = sets;
  fields.reason.value = "";
  fields.author.value ||= localStorage.getItem("author") ?? "";
  dialog.showModal();
  (sets ? fields.state : fields.reason).focus();
}

async function call(peer, method, query, body) {
  const url = `api/v1/overrides/${encodeURIComponent(peer)}?${new URLSearchParams(query)}`;
  const headers = body ? { "Content-Type": "application/json" } : {};
  if (withToken) headers.Authorization = `Bearer ${visible(fields.token.value.trim())}`;
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// A browser sends no other characters in a header, and calls that a failure of the network.
function visible(token) {
  if (!/^[!-~]+$/.test(token)) throw new Error("expected a token of visible ASCII characters");
  return token;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("change-submit");
  button.disabled = true;
  say(byId("change-error"), "");
  try {
    const { stored } = await send();
    localStorage.setItem("author", fields.author.value);
    dialog.close();
    // The button that cleared it goes with it: focus stays in its section.
    if (byId("only-set").hidden) byId("overrides-title").focus();
    say(byId("news"), stored ? "Done." : "Done, but not stored: this sidecar forgets it when it restarts.");
    change.done();
  } catch (error) {
    say(byId("change-error"), error instanceof TypeError ? "The sidecar can't be reached." : error.message);
  } finally {
    button.disabled = false;
  }
});
byId("change-cancel").addEventListener("click", () => dialog.close());
