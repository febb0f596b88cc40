// Photos that wait to be sent mean a training: two fields under them ask what a command line would be typed for.

import { byId, el } from "./dom.js";
import { pressable } from "./attempt.js";
import { openForm } from "./forms.js";
import { tray } from "./photos.js";

const EXAMPLES = { name: ["Name", "rex"], class: ["Kind", "dog"] }; // label and example of what is required

/** The fields for the `command` that learns from photos; `submit(values, photos)` sends it. */
export class Naming {
  constructor(command, submit) {
    Object.assign(this, { command, submit, node: byId("naming") });
    this.inputs = command.fields.filter((field) => field.required).map((field) => input(field));
    const train = pressable("Train", () => this.send(), { class: "primary" });
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || event.target.tagName !== "INPUT") return;
      event.preventDefault(); // it would send the line
      train.click();
    });
    this.node.replaceChildren(...this.inputs.map((field) => labelled(field)), train,
      el("button", { type: "button", class: "quiet", onclick: () => this.openOptions() }, "Options"));
    tray.changed = (added) => this.show(added);
  }

  get values() {
    return Object.fromEntries(this.inputs.map((field) => [field.name, field.value.trim()]));
  }

  /** Stand under the photos as long as there are some; those that were just `added` are to be named next. */
  show(added) {
    const photos = tray.photos.length > 0;
    this.node.hidden = !photos;
    if (photos && added && !byId("line").value.trim() && !byId("sheet").open) this.inputs.find((field) => !field.value)?.focus();
  }

  /** Put values back, to be mended. */
  fill(values) {
    for (const field of this.inputs) field.value = values[field.name] ?? "";
  }

  async send() {
    if (!this.inputs.every((field) => field.reportValidity())) return;
    const photos = tray.files;
    tray.clear(); // first: a refusal may come back before the answer to sending
    byId("line").focus();
    try {
      await this.sendOnce({ command: this.command.name, ...this.values }, photos);
    } catch (error) {
      tray.add(photos);
      this.node.querySelector(".primary").focus();
      throw error;
    }
  }

  /** Send, with the fields empty for the next one, unless it fails. */
  async sendOnce(values, photos) {
    const typed = this.values;
    this.fill({});
    try {
      await this.submit(values, photos);
    } catch (error) {
      this.fill(typed);
      throw error;
    }
  }

  /** The whole form, with what was typed here. */
  openOptions() {
    const fields = this.command.fields.map((field) => ({ ...field, default: this.values[field.name] || field.default }));
    openForm({ ...this.command, fields }, "Train", (values, photos) => this.sendOnce(values, photos));
  }
}

function input(field) {
  return el("input", { type: "text", name: field.name, required: true, maxlength: field.longest, spellcheck: "false",
    autocapitalize: "none", title: field.meaning, placeholder: (EXAMPLES[field.name] ?? ["", ""])[1] });
}

const labelled = (field) => el("label", {}, (EXAMPLES[field.name] ?? [field.name])[0], field);
