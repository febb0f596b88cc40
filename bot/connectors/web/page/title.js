// The title of the page tells how work goes on, for those who look at another tab meanwhile.

const NAME = document.title;
const working = new Map(); // message id → what it is at
let ended = ""; // what came to an end while nobody was looking

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  ended = "";
  show();
});

/** Hear of a message. */
export function tellTitle({ id, reply, progress }) {
  if (reply.state === "working" && reply.job) {
    const percent = progress?.of ? ` ${Math.round((100 * progress.step) / progress.of)} %` : "";
    const phase = progress?.phase ?? "queued";
    working.set(id, `${phase === "queued" ? "Waiting" : phase.charAt(0).toUpperCase() + phase.slice(1)}${percent}`);
  } else if (working.delete(id) && document.hidden) {
    ended = { done: "✓ Done", failed: "✗ Failed" }[reply.state] ?? "";
  }
  show();
}

/** Hear that a message is gone. */
export function dropTitle(id) {
  working.delete(id);
  show();
}

function show() {
  const begun = [...working.values()].find((what) => what !== "Waiting") ?? [...working.values()][0];
  document.title = [ended || begun, NAME].filter(Boolean).join(" · ");
}
