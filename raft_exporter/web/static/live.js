// The sidecar's events, for as long as the page is open: connects again by itself, and knows when it is stale.

const RETRY = 1000;
const DEAF_AFTER = 5000;
export const STALE_AFTER = 3000;

/**
 * Tell `on[kind](content)` each event of the sidecar. `on.state(live, age, why)` is told twice a second whether what is shown is live,
 * how many milliseconds ago the sidecar was last heard (null: never), and, where it is not live, why.
 */
export function follow(url, on) {
  let source = null;
  let heardAt = null;
  let openedAt = 0;
  let dueAt = 0;

  function open() {
    openedAt = performance.now();
    source = new EventSource(url);
    for (const kind of ["hello", "cluster", "journal", "news"]) {
      source.addEventListener(kind, (event) => {
        heardAt = performance.now();
        on[kind](JSON.parse(event.data));
      });
    }
    source.onerror = () => close(RETRY);
  }

  function close(pause) {
    source?.close();
    source = null;
    dueAt = performance.now() + pause;
  }

  function turn() {
    const now = performance.now();
    // A page that nobody looks at asks for nothing: a browser has six connections for all of its tabs.
    if (document.hidden) {
      if (source) close(0);
      return;
    }
    // A sidecar that was frozen, or whose host is gone, leaves the connection open and says nothing.
    if (source && now - Math.max(heardAt ?? 0, openedAt) > DEAF_AFTER) close(0);
    if (!source && now >= dueAt) open();
    const age = heardAt === null ? null : now - heardAt;
    on.state(age !== null && age < STALE_AFTER, age, source ? "it says nothing" : "it can't be reached");
  }

  document.addEventListener("visibilitychange", turn);
  setInterval(turn, 500);
  turn();
}
