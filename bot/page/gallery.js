// The gallery: every subject with its newest sample, and all pictures, newest first.

import { byId, el } from "./dom.js";
import { get } from "./api.js";
import { attempt, pressable } from "./attempt.js";
import { press } from "./press.js";
import { enlarge, image } from "./pictures.js";

const view = byId("view-gallery");
const STATES = { learning: "being learned", ready: "ready", failed: "could not be learned" };

/** Show the gallery as it is now. */
export async function showGallery() {
  let wall;
  try {
    wall = await get("/gallery");
  } catch (error) {
    view.replaceChildren(el("p", { class: "empty" }, error.message));
    return;
  }
  const grid = el("div", { class: "wall" });
  const more = el("button", { type: "button", class: "quiet" }, "Show older pictures");
  hang(grid, more, wall);
  view.replaceChildren(
    el("h2", {}, "Subjects"),
    wall.subjects.length ? el("ul", { class: "subjects" }, wall.subjects.map(subject))
      : el("p", { class: "empty" }, "None yet. Drop a few photos into the chat, and the first one will hang here."),
    el("h2", {}, "Pictures"),
    wall.made.length ? grid : el("p", { class: "empty" }, "None yet. Ask for one in the chat."),
    more);
}

function subject(one) {
  return el("li", { class: "subject" },
    one.sample ? el("button", { type: "button", class: "tile", "aria-label": `Enlarge a picture of ${one.name}`,
      onclick: () => enlarge([one.sample], 0, {}) }, image(one.sample)) : el("div", { class: "tile none" }),
    el("h3", {}, one.name),
    el("p", { class: `state ${one.state}` }, `${one.noun}, ${STATES[one.state]}`),
    el("menu", {}, one.buttons.map((button) => pressable(button.label, () => act(button),
      { class: button.style === "plain" ? "" : button.style, "aria-label": `${button.label} ${one.name}` }))));
}

/** Do it, and go where its answer appears. */
async function act(button) {
  if (await press(button)) location.hash = "#chat";
}

/** Add the pictures of some jobs, and let the button fetch those before them. */
function hang(grid, button, { made, more }) {
  for (const one of made) {
    one.reply.pictures.forEach((picture, index) => grid.append(
      el("button", { type: "button", class: "tile", title: one.said, "aria-label": `Enlarge: ${picture.caption || one.said}`,
        onclick: () => enlarge(one.reply.pictures, index, one.reply) }, image(picture))));
  }
  button.hidden = !more;
  button.onclick = () => attempt(button, async () =>
    hang(grid, button, await get(`/gallery?${new URLSearchParams({ before: made.at(-1).job })}`)));
}
