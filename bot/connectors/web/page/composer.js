// Where people type: the line with its completion, the photos that go with it, and the buttons that open forms.

import { byId, capital, el } from "./dom.js";
import { get, send } from "./api.js";
import { Completion } from "./completion.js";
import { openForm } from "./forms.js";
import { Naming } from "./naming.js";
import { preview, tray } from "./photos.js";

const line = byId("line");
const sent = new Map(); // message id → what was sent, until it is accepted: a refusal gives it back
let history; // gives the lines that were sent, oldest first: they are the page's messages
let back = 0; // how many lines the arrow keys have gone back
let recalled = ""; // the line that they brought
let known;
let naming;
let newest; // message id → the newest state of it that the page has heard

/** Start the composer with what the server says of the commands, and with a look at the messages. */
export function openComposer(welcome, latest, lines) {
  known = welcome;
  byId("files").accept = welcome.photo_types.join(",");
  newest = latest;
  history = () => lines(known.commands);
  const completion = new Completion(line, byId("options"), { onchange: changed });
  line.addEventListener("input", changed);
  line.addEventListener("keydown", (event) => keys(event, completion));
  byId("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  naming = new Naming(known.commands.find((one) => one.takes_photos), sendWithPhotos);
  showChips();
}

/** Ask again how many subjects there are: some commands make sense only with one. */
export async function refreshChips() {
  try {
    known = await get("/welcome");
  } catch {
    return; // the chips stay as they are
  }
  showChips();
}

function showChips() {
  const shown = byId("chips").dataset.subjects;
  if (shown === String(known.subjects)) return;
  byId("chips").dataset.subjects = known.subjects;
  byId("chips").replaceChildren(...chips());
}

/** Put a line back to work on it. */
export function edit(text) {
  line.value = text;
  changed();
  line.focus();
}

/** Send values (a typed line or a form) with the photos of the tray; throws an Error with a sentence. */
export async function sendWithPhotos(values, photos) {
  const bytes = photos.reduce((sum, photo) => sum + photo.size, 0);
  if (bytes > known.upload_max_bytes - 2 ** 16) {
    throw new Error(`These photos are too large together: the limit is ${Math.floor(known.upload_max_bytes / 2 ** 20)} MB.`);
  }
  preview(photos);
  const message = await send(values, photos);
  sent.set(message.id, { photos, values });
  settle(newest(message.id) ?? message); // the stream may have been faster than the answer to sending
}

/** Hear how a message went: what was refused comes back to be mended. */
export function settle({ id, said, reply }) {
  if (!sent.has(id) || (reply.state === "working" && !reply.job)) return;
  const { photos, values } = sent.get(id);
  sent.delete(id);
  if (reply.state !== "failed" || reply.job) return;
  if (values.command === naming.command.name) naming.fill(values);
  else if (!line.value.trim()) edit(said);
  if (!tray.photos.length) tray.add(photos);
}

async function submit() {
  const text = line.value.trim();
  if (!text && tray.files.length) return byId("naming").querySelector(".primary").click();
  if (!text) return;
  const photos = tray.files;
  line.value = "";
  tray.clear();
  changed();
  try {
    await sendWithPhotos({ line: text }, photos);
    back = 0;
  } catch (error) {
    tray.add(photos);
    edit(text);
    hint(error.message, true);
  }
}

function keys(event, completion) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !completion.open) {
    event.preventDefault();
    submit();
  } else if (event.key === "Enter" && completion.open && completion.active < 0) {
    event.preventDefault();
    completion.close();
    submit();
  } else if (event.key === "ArrowUp" && (!line.value || (back && line.value === recalled))) {
    recall(event, back + 1);
  } else if (event.key === "ArrowDown" && back && line.value === recalled) {
    recall(event, back - 1);
  }
}

/** Bring back a line that was sent: so many lines ago, none for an empty one. */
function recall(event, ago) {
  const lines = history();
  if (ago > lines.length) return;
  event.preventDefault();
  back = ago;
  recalled = ago ? lines.at(-ago) : "";
  edit(recalled);
}

function changed() {
  line.style.height = "auto";
  line.style.height = `${line.scrollHeight}px`;
  const typed = line.value.trim().toLowerCase();
  const command = known.commands.find((one) => typed === `/${one.name}` || typed.startsWith(`/${one.name} `));
  if (command) hint(`${command.usage} — ${command.summary}`);
  else hint(typed && !typed.startsWith("/") ? "Enter draws this. A / begins a command." : "");
}

function hint(text, wrong = false) {
  byId("hint").textContent = text;
  byId("hint").classList.toggle("wrong", wrong);
}

const CHIPS = 4; // a narrow screen has room for no more

/** One button for each of the large commands, as a form; the others wait under More. */
function chips() {
  const label = ({ name }) => {
    const [group, word] = name.split(" ");
    return capital(group === "documents" ? `${word} ${group}` : word ?? group);
  };
  const act = (command) => () => {
    if (command.fields.length) openForm(command, label(command), sendWithPhotos);
    else sendWithPhotos({ command: command.name }, []).catch((error) => hint(error.message, true));
  };
  const button = (command) => el("button", { type: "button", title: command.summary, onclick: act(command) }, label(command));
  const useful = known.commands.filter((command) => command.needs_subjects <= known.subjects);
  const many = useful.filter((command) => command.fields.length > 3).slice(0, CHIPS);
  const few = useful.filter((command) => !many.includes(command));
  return [...many.map(button), el("details", { class: "menu up", name: "menu" }, el("summary", {}, "More"),
    el("ul", {}, few.map((command) => el("li", {}, button(command)))))];
}
