// Pictures: tiles in a grid, and the dialog that shows one large.

import { byId, el, source } from "./dom.js";
import { pressable } from "./attempt.js";
import { press } from "./press.js";

const SMALL_PX = 256; // up to here a picture is enlarged pixel by pixel, so that it stays crisp

const WIDE = 1.25; // width ÷ height from which a picture is shown whole, in a row of its own: sheets of several

const THUMB_PX = 384; // no smaller picture has a thumbnail of its own

/** What shows a picture as its thumbnail, for `image`. */
export const thumb = (picture) =>
  Math.max(picture.width_px, picture.height_px) > THUMB_PX ? { src: `/thumbnails/${picture.key}` } : {};

/** An <img> of a stored picture. One that was deleted meanwhile leaves no broken frame. */
export function image(picture, attributes = {}) {
  const small = picture.width_px <= SMALL_PX ? "small" : "";
  return el("img", {
    src: source(picture), alt: picture.caption || "Picture", width: picture.width_px, height: picture.height_px,
    loading: "lazy", decoding: "async", class: small, ...attributes,
    onerror: (event) => event.target.closest(".tile, .sample, img").classList.add("gone"),
  });
}

/** Tiles that open large; `made` is the reply they belong to. */
export function tiles(pictures, made) {
  return pictures.map((picture, index) => {
    const name = `Enlarge picture ${index + 1} of ${pictures.length}: ${picture.caption || "no caption"}`;
    const shape = picture.width_px > WIDE * picture.height_px ? "tile wide" : "tile";
    return el("button", { type: "button", class: shape, "aria-label": name,
      onclick: () => enlarge(pictures, index, made) }, image(picture));
  });
}

/** A file name that says what is in it. */
function fileName(picture) {
  const words = (picture.caption || "picture").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${words.slice(0, 60)}${picture.seed == null ? "" : `-${picture.seed}`}.png`;
}

/** A link that saves a picture as a file. */
export function download(picture, label, attributes = {}) {
  return el("a", { href: source(picture), download: fileName(picture), ...attributes }, label);
}

/** Show one picture of several as large as fits. */
export function enlarge(pictures, index, made) {
  const dialog = byId("viewer");
  const show = (next) => {
    index = (next + pictures.length) % pictures.length;
    const focused = document.activeElement?.dataset?.move;
    dialog.replaceChildren(...frame(pictures, index, made, show));
    fit(dialog.querySelector("img"), pictures[index]);
    (dialog.querySelector(`[data-move="${focused}"]`) || dialog.querySelector("[data-close]")).focus();
  };
  dialog.onkeydown = (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) show(index + move);
  };
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  if (!dialog.open) dialog.showModal();
  show(index);
}

function frame(pictures, index, made, show) {
  const picture = pictures[index];
  const step = (move, label, sign) => pictures.length > 1
    ? el("button", { type: "button", class: "icon", "data-move": move, "aria-label": label,
      onclick: () => show(index + move) }, sign)
    : null;
  const about = [
    `${picture.width_px} × ${picture.height_px} px`,
    picture.seed == null ? null : `seed ${picture.seed}`,
    pictures.length > 1 ? `${index + 1} of ${pictures.length}` : null,
  ].filter(Boolean);
  return [
    el("div", { class: "stage" }, image(picture, { loading: "eager" })),
    el("div", { class: "plate" },
      el("p", { class: "caption" }, picture.caption || "Picture"),
      el("p", { class: "about" }, about.join(" · ")),
      el("menu", {}, step(-1, "Previous picture", "‹"), step(1, "Next picture", "›"),
        ...actions(picture, made),
        download(picture, "Download", { class: "button" }),
        el("button", { type: "button", class: "quiet", "data-close": true,
          onclick: () => byId("viewer").close() }, "Close"))),
  ];
}

/** The buttons of the message that made a picture; those that take a seed take this picture's. */
function actions(picture, made) {
  return (made.buttons || []).flatMap((button) => deletions(button, picture, made.pictures)).map((button) => {
    const given = { ...button.arguments };
    if ("seed" in given && picture.seed != null) given.seed = String(picture.seed);
    return pressable(button.label, () => act({ ...button, arguments: given }));
  });
}

/** *Delete* says what it deletes; of several pictures, one alone can be deleted as well. */
function deletions(button, picture, pictures) {
  if (button.command !== "delete") return [button];
  const all = deletion(button, pictures.length);
  if (pictures.length < 2 || picture.seed == null) return [all];
  const alone = { ...button, label: "Delete this picture", confirm: "Delete this picture for good?",
    arguments: { ...button.arguments, seed: String(picture.seed) } };
  return [alone, all];
}

/** A *Delete* button of so many pictures. */
export const deletion = (button, count) =>
  button.command === "delete" && count > 1 ? { ...button, label: `Delete all ${count} pictures` } : button;

/** Do what a button says, and go where its answer appears, unless it takes something away. */
async function act(button) {
  if (!(await press(button))) return;
  byId("viewer").close();
  if (button.style !== "danger") location.hash = "#chat";
}

/** Give a small picture a whole multiple of its size, so that its pixels stay square and even. */
function fit(img, picture) {
  const room = Math.min(innerWidth * 0.92, innerHeight * 0.66, 1024);
  const times = room / Math.max(picture.width_px, picture.height_px);
  const scale = picture.width_px <= SMALL_PX ? Math.max(1, Math.floor(times)) : Math.min(times, 1);
  img.style.width = `${Math.round(picture.width_px * scale)}px`;
  img.style.height = `${Math.round(picture.height_px * scale)}px`;
}
