// A form for every command, made from what the server says of its arguments.

import { byId, capital, el } from "./dom.js";
import { get } from "./api.js";
import { Completion } from "./completion.js";
import { tray } from "./photos.js";
import { attempt } from "./attempt.js";

const DEEDS = { imagine: "Draw" }; // what the button at the end says, where the command's own name does not
const MANY = 3; // options that are so many wait folded
const LONG = 200; // texts that may be longer than this get several lines

/** Open the form of a command; `submit(values, photos)` sends it. */
export function openForm(command, title, submit) {
  const sheet = byId("sheet");
  const needed = command.fields.filter((field) => field.required);
  const more = command.fields.filter((field) => !field.required);
  const form = el("form", { autocomplete: "off", onsubmit: (event) => {
    event.preventDefault();
    attempt(form.querySelector("menu .primary"), () => finish(form, command, submit));
  } },
  el("h2", { id: "sheet-title" }, title),
  el("p", { class: "lead" }, command.summary),
  command.takes_photos ? photoField() : command.takes_documents ? documentField() : null,
  needed.map((field) => row(field, command)),
  more.length ? el("details", { open: more.length < MANY }, el("summary", {}, "Options"),
    el("div", { class: "more" }, more.map((field) => row(field, command)))) : null,
  el("menu", {},
    el("button", { type: "button", class: "quiet", onclick: () => sheet.close() }, "Cancel"),
    el("button", { class: "primary" }, DEEDS[command.name] ?? title)));
  sheet.replaceChildren(form);
  tray.show();
  sheet.showModal();
  form.querySelector("input:not([hidden]), textarea, select")?.focus();
}

async function finish(form, command, submit) {
  const values = { command: command.name };
  for (const field of command.fields) {
    const { value } = form.elements[field.name];
    if (field.required || (value !== "" && value !== field.usual)) values[field.name] = value;
  }
  const photos = command.takes_photos ? tray.files : [...(form.querySelector("input.documents")?.files ?? [])];
  if (command.takes_photos) tray.clear(); // first: a refusal may come back before the answer to sending
  try {
    await submit(values, photos);
  } catch (error) {
    if (command.takes_photos && photos.length) tray.add(photos);
    throw error;
  }
  byId("sheet").close();
  location.hash = "#chat";
}

function documentField() {
  return el("div", { class: "field" }, el("label", { for: "documents" }, "Documents"), el("input", { type: "file",
    id: "documents", class: "documents", multiple: true, required: true, accept: ".pdf,.html,.htm,.md,.markdown,.txt" }));
}

function photoField() {
  return el("fieldset", { class: "photofield" }, el("legend", {}, "Photos"),
    el("ul", { class: "tray", "data-tray": true }),
    el("button", { type: "button", class: "dropzone slim", "data-pick": true }, "Drop photos here, or press to pick them"));
}

/** A label, the control, and what it means. */
function row(field, command) {
  const id = `field-${field.name}`;
  const control = make(field, { id, name: field.name, required: field.required, "aria-describedby": `${id}-meaning` });
  const extra = field.kind === "text" ? suggestions(field, control, command) : null;
  return el("div", { class: "field" }, el("label", { for: id }, capital(field.name)), control, extra,
    el("p", { class: "meaning", id: `${id}-meaning` }, field.meaning, limits(field)));
}

function make(field, attributes) {
  if (field.kind === "choice") {
    const choices = field.required || field.default ? field.choices : ["", ...field.choices]; // or nothing is said
    return el("select", attributes, choices.map((choice) =>
      el("option", { value: choice, selected: choice === field.default }, choice)));
  }
  if (field.kind === "text") {
    const limited = { ...attributes, maxlength: field.longest };
    return field.longest > LONG ? el("textarea", { ...limited, rows: field.required ? 3 : 2 }, field.default)
      : el("input", { ...limited, type: "text", value: field.default });
  }
  const step = field.kind === "whole" ? 1 : "any";
  return el("input", { ...attributes, type: "number", inputmode: field.kind === "whole" ? "numeric" : "decimal",
    min: field.minimum, max: field.maximum, step, value: field.default });
}

function limits(field) {
  const few = field.maximum != null && field.maximum < 100000;
  return few ? ` From ${field.minimum} to ${field.maximum}.` : "";
}

/** Values to choose from: of the argument itself, or names of subjects after a bracket in a prompt. */
function suggestions(field, control, command) {
  if (field.offers.length) {
    control.setAttribute("list", `list-${field.name}`);
    return el("datalist", { id: `list-${field.name}` }, field.offers.map((value) => el("option", { value })));
  }
  if (field.suggest) {
    const list = el("datalist", { id: `list-${field.name}` });
    control.setAttribute("list", list.id);
    get(`/completions?${new URLSearchParams({ line: `/${command.name} --${field.name} ` })}`)
      .then((found) => list.replaceChildren(...found.map((one) => el("option", { value: one.text }))), () => {});
    return list;
  }
  if (field.longest <= LONG) return null;
  const options = el("ul", { class: "options below", role: "listbox", id: `options-${field.name}`,
    "aria-label": "Ways to go on", hidden: true });
  control.setAttribute("aria-controls", options.id);
  new Completion(control, options, { prefix: `/${command.name} ` });
  return options;
}
