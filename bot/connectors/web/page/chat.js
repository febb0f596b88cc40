// The chat page: follows the stream of messages, and switches between chat and gallery.

import { byId } from "./dom.js";
import { get } from "./api.js";
import { openComposer, refreshChips, settle } from "./composer.js";
import { showGallery } from "./gallery.js";
import { MessageView } from "./message.js";
import { attempt } from "./attempt.js";
import { dropTitle, tellTitle } from "./title.js";

const list = byId("messages");
const views = new Map(); // message id → MessageView
let trainings = new Set(); // names of the commands that learn from photos

async function start() {
  const welcome = await patiently(() => get("/welcome"));
  trainings = new Set(welcome.commands.filter((command) => command.takes_photos).map((command) => command.name));
  openComposer(welcome, (id) => views.get(id)?.message, lines);
  follow();
  addEventListener("hashchange", turn);
  byId("earlier").addEventListener("click", ({ target }) => attempt(target, earlier));
  closeMenus();
  turn();
}

/** What people typed or sent by forms, oldest first, each line once in a row; buttons of messages say no line. */
function lines(commands) {
  const names = new Set(["", ...commands.map((command) => command.name)]);
  const messages = [...views.values()].map((view) => view.message).sort((one, other) => one.id < other.id ? -1 : 1);
  const said = messages.filter((message) => names.has(message.command) && message.said).map((message) => message.said);
  return said.filter((line, index) => line !== said[index - 1]);
}

/** Try until it works: the server may be starting again. */
async function patiently(task) {
  for (;;) {
    try {
      return await task();
    } catch {
      online(false);
      await new Promise((later) => setTimeout(later, 1000));
    }
  }
}

/** Follow the stream. It begins with everything, so that after a break nothing is missing. */
function follow() {
  const stream = new EventSource("/events");
  stream.addEventListener("open", () => online(true));
  stream.addEventListener("error", () => {
    online(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 1000);
  });
  stream.addEventListener("everything", ({ data }) => everything(JSON.parse(data)));
  stream.addEventListener("message", ({ data }) => change(JSON.parse(data)));
  stream.addEventListener("removed", ({ data }) => remove(data));
}

const online = (yes) => { byId("offline").hidden = yes; };

function everything({ messages, more }) {
  const there = new Set(messages.map((message) => message.id));
  const oldest = messages[0]?.id ?? "";
  for (const id of views.keys()) if (id >= oldest && !there.has(id)) remove(id);
  const first = views.size === 0;
  messages.forEach((message) => { place(message); tellTitle(message); });
  if (first) byId("earlier").hidden = !more;
  list.setAttribute("aria-busy", "false");
  empty();
  if (first) toEnd();
}

function change(message) {
  const fresh = !views.has(message.id);
  const before = views.get(message.id)?.message.reply;
  const near = innerHeight + scrollY > document.documentElement.scrollHeight - 160;
  place(message);
  settle(message);
  tellTitle(message);
  if (message.reply.state !== "working" && !byId("view-gallery").hidden) showGallery();
  if (before?.state !== message.reply.state || before.job !== message.reply.job) refreshChips();
  empty();
  if (fresh || near) toEnd();
}

/** Show a message at its place in time: ids are sorted by it. */
function place(message) {
  let view = views.get(message.id);
  if (!view) {
    view = new MessageView(trainings.has(message.command));
    view.node.id = `m${message.id}`;
    views.set(message.id, view);
    const next = [...list.children].find((node) => node.id > view.node.id);
    list.insertBefore(view.node, next ?? null);
  }
  view.update(message);
}

function remove(id) {
  views.get(id)?.node.remove();
  dropTitle(id);
  views.delete(id);
  empty();
  if (!byId("view-gallery").hidden) showGallery();
}

async function earlier() {
  const oldest = list.firstElementChild;
  const { messages, more } = await get(`/messages?${new URLSearchParams({ before: oldest.id.slice(1) })}`);
  messages.forEach((message) => place(message));
  byId("earlier").hidden = !more;
  oldest.scrollIntoView();
}

function empty() {
  byId("welcome").hidden = views.size > 0;
}

/** Scroll to the newest message, once the page has laid it out. */
function toEnd() {
  if (byId("view-chat").hidden || !views.size) return; // a first visit begins with the headline
  requestAnimationFrame(() => scrollTo({ top: document.documentElement.scrollHeight }));
}

/** Menus close when something else is pressed, when one of their entries is, and by Escape. */
function closeMenus() {
  const close = (but) => document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (menu !== but) menu.open = false;
  });
  document.addEventListener("toggle", ({ target }) => { if (target.matches?.("details.menu[open]")) keepInView(target); }, true);
  document.addEventListener("click", ({ target }) => close(target.closest("summary")?.parentElement));
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.activeElement?.closest("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

/** Open a menu at its button, moved to the left as far as it would reach out of the window. */
function keepInView(menu) {
  const list = menu.querySelector("ul");
  list.style.left = "0";
  const beyond_px = list.getBoundingClientRect().right - (document.documentElement.clientWidth - 8);
  if (beyond_px > 0) list.style.left = `${-beyond_px}px`;
}

/** Show the view that the address names. */
function turn() {
  const gallery = location.hash === "#gallery";
  byId("view-gallery").hidden = !gallery;
  byId("view-chat").hidden = gallery;
  byId("composer").hidden = gallery;
  for (const link of document.querySelectorAll("nav a")) {
    if ((link.hash === "#gallery") === gallery) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (gallery) {
    showGallery();
    scrollTo({ top: 0 });
  } else {
    toEnd();
  }
}

start();
