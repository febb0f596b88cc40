// The gallery: every subject with its newest sample, and all pictures, newest first. A change touches what it changes.

import { byId, el } from "./dom.js";
import { get } from "./api.js";
import { attempt, pressable } from "./attempt.js";
import { press } from "./press.js";
import { enlarge, image, thumb } from "./pictures.js";

const STATES = { learning: "being learned", ready: "ready", failed: "could not be learned" };
const trouble = el("p", { class: "trouble", role: "alert" });
const subjects = el("ul", { class: "subjects" });
const noSubjects = el("p", { class: "empty", hidden: true },
  "None yet. Drop a few photos into the chat, and the first one will hang here.");
const wall = el("div", { class: "wall" });
const noPictures = el("p", { class: "empty", hidden: true }, "None yet. Ask for one in the chat.");
const more = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => attempt(more, older) }, "Show older pictures");
const shown = new WeakMap(); // node → what it was made from, as JSON
let pages = 1; // of pictures that are looked at
let asked = 0;

byId("view-gallery").append(trouble, el("h2", {}, "Subjects"), subjects, noSubjects,
  el("h2", {}, "Pictures"), wall, noPictures, more);

/** Show the gallery as it is now. */
export async function showGallery() {
  try {
    await refresh();
    trouble.textContent = "";
  } catch (error) {
    trouble.textContent = error.message;
  }
}

async function older() {
  pages += 1;
  try {
    await refresh();
  } catch (error) {
    pages -= 1;
    throw error;
  }
}

async function refresh() {
  const now = ++asked;
  const first = await get("/gallery");
  const made = [...first.made];
  let page = first;
  for (let count = 1; count < pages && page.more; count++) {
    page = await get(`/gallery?${new URLSearchParams({ before: page.made.at(-1).job })}`);
    made.push(...page.made);
  }
  if (now !== asked) return; // somebody has asked again meanwhile
  update(subjects, first.subjects.map((one) => ({ key: one.name, from: one, build: () => subject(one) })));
  update(wall, made.flatMap((one) => one.reply.pictures.map((picture, index) =>
    ({ key: picture.key, from: [one.said, one.reply], build: () => tile(one, index) }))));
  noSubjects.hidden = first.subjects.length > 0;
  noPictures.hidden = made.length > 0;
  more.hidden = !page.more;
}

/** Give a list these items, in their order, keeping the nodes of those that have not changed. */
function update(list, items) {
  const keys = new Set(items.map((item) => item.key));
  for (const node of [...list.children]) if (!keys.has(node.dataset.key)) node.remove();
  const there = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let next = list.firstElementChild;
  for (const { key, from, build } of items) {
    const old = there.get(key);
    const says = JSON.stringify(from);
    const node = old && shown.get(old) === says ? old : build();
    if (node !== old) {
      node.dataset.key = key;
      shown.set(node, says);
      if (old && old === next) next = old.nextElementSibling;
      old?.remove();
    }
    if (node === next) next = next.nextElementSibling;
    else list.insertBefore(node, next);
  }
}

function subject(one) {
  return el("li", { class: "subject" },
    one.sample ? el("button", { type: "button", class: "tile", "aria-label": `Enlarge a picture of ${one.name}`,
      onclick: () => enlarge([one.sample], 0, {}) }, image(one.sample, thumb(one.sample))) : el("div", { class: "tile none" }),
    el("h3", {}, one.name),
    el("p", { class: `state ${one.state}` }, `${one.noun}, ${STATES[one.state]}`),
    el("menu", {}, one.buttons.map((button) => pressable(button.label, () => act(button),
      { class: button.style === "plain" ? "" : button.style, "aria-label": `${button.label} ${one.name}` }))));
}

/** Do it, and go where its answer appears. */
async function act(button) {
  if (await press(button)) location.hash = "#chat";
}

function tile(one, index) {
  const picture = one.reply.pictures[index];
  return el("button", { type: "button", class: "tile", title: one.said, "aria-label": `Enlarge: ${picture.caption || one.said}`,
    onclick: () => enlarge(one.reply.pictures, index, one.reply) }, image(picture, thumb(picture)));
}
