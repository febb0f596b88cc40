// The photos that wait to be sent: dropped, picked or pasted, shown as thumbnails wherever there is a tray.

import { announce, byId, el } from "./dom.js";

/** Addresses of the photos that this page has sent, by the names that messages call them. */
export const previews = new Map();

/** Show photos that are being sent until the server has them. It tells those of the same name apart by numbers. */
export function preview(files) {
  const names = files.map((file) => file.name);
  files.forEach((file, index) => {
    const alone = names.indexOf(file.name) === names.lastIndexOf(file.name);
    const name = alone ? file.name : `${file.name} (photo ${index + 1})`;
    release(name);
    previews.set(name, URL.createObjectURL(file));
  });
}

/** Let go of a photo that was sent, once the server has it: its address would keep the file in memory. */
export function release(name) {
  if (previews.has(name)) URL.revokeObjectURL(previews.get(name));
  previews.delete(name);
}

/** Photos to send. Every element with `data-tray` shows them, every one with `data-pick` adds some. */
class Tray {
  constructor() {
    this.photos = []; // { file, url }
    this.changed = (added) => added; // whoever wants to hear of it puts a function here
    document.addEventListener("click", (event) => event.target.closest("[data-pick]") && byId("files").click());
    byId("files").addEventListener("change", ({ target }) => { this.add(target.files); target.value = ""; });
    document.addEventListener("paste", (event) => this.add(event.clipboardData.files));
    this.acceptDrops();
  }

  get files() {
    return this.photos.map((photo) => photo.file);
  }

  add(files) {
    const added = [...files].map((file) => ({ file, url: URL.createObjectURL(file) }));
    if (!added.length) return;
    this.photos.push(...added);
    announce(`${this.photos.length} ${this.photos.length === 1 ? "photo" : "photos"} to send.`);
    this.show(true);
  }

  remove(photo) {
    const at = this.photos.indexOf(photo);
    this.photos.splice(at, 1);
    URL.revokeObjectURL(photo.url);
    announce(`${photo.file.name} is removed.`);
    this.show();
  }

  /** Take all photos out, to send them. */
  clear() {
    this.photos.forEach((photo) => URL.revokeObjectURL(photo.url));
    this.photos = [];
    this.show();
  }

  show(added = false) {
    for (const list of document.querySelectorAll("[data-tray]")) {
      const at = [...list.children].findIndex((item) => item.contains(document.activeElement));
      list.replaceChildren(...this.photos.map((photo) => this.thumbnail(photo)));
      if (at >= 0) (list.children[Math.min(at, list.children.length - 1)]?.querySelector("button") || byId("line")).focus();
    }
    this.changed(added);
  }

  thumbnail(photo) {
    const { name } = photo.file;
    return el("li", { title: name },
      // What the browser cannot show (HEIC, or no picture at all) is shown by its name.
      el("img", { src: photo.url, alt: name, onerror: ({ target }) =>
        target.replaceWith(el("span", { class: "name" }, name)) }),
      el("button", { type: "button", "aria-label": `Remove ${name}`, title: "Remove",
        onclick: () => this.remove(photo) }, "×"));
  }

  acceptDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const hint = (shown) => { byId("drop").hidden = !shown; };
    document.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      hint(true);
    });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) hint(false); });
    document.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      hint(false);
      this.add(event.dataTransfer.files);
    });
  }
}

export const tray = new Tray();
