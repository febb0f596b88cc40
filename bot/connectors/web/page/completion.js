// Completion for a text field: asks the server how the line could go on, and lets arrow keys choose.

import { el } from "./dom.js";
import { get } from "./api.js";

/** Offer completions in `list` for what is typed into `field`; `prefix` is what the server reads before it. */
export class Completion {
  constructor(field, list, { prefix = "", onchange = () => {} } = {}) {
    Object.assign(this, { field, list, prefix, onchange, answered: [], options: [], active: -1, asked: 0 });
    field.addEventListener("input", () => this.ask());
    field.addEventListener("blur", () => this.close());
    field.addEventListener("keydown", (event) => this.key(event));
  }

  get open() {
    return !this.list.hidden;
  }

  async ask() {
    const asked = ++this.asked;
    const line = this.prefix + this.field.value.slice(0, this.field.selectionStart);
    if (!line.trim()) return this.close();
    this.show(stillFitting(this.answered, line), line); // until the answer comes, what of the last one still fits
    let options = [];
    try {
      options = await get(`/completions?${new URLSearchParams({ line })}`);
    } catch { /* typing goes on without */ }
    if (asked !== this.asked || document.activeElement !== this.field) return;
    this.answered = options;
    this.show(options, line);
  }

  show(options, line) {
    this.options = options.filter((option) => option.start >= this.prefix.length);
    const begun = this.options[0] && line.slice(this.options[0].start).trim();
    this.list.replaceChildren(...this.options.map((option, index) => el("li",
      { role: "option", id: `${this.list.id}-${index}`,
        onpointerdown: (event) => { event.preventDefault(); this.take(index); } },
      el("b", {}, option.text.trim()), option.meaning && el("span", {}, option.meaning))));
    this.list.hidden = !this.options.length;
    this.field.setAttribute("aria-expanded", String(this.open));
    this.move(begun ? 0 : -1);
  }

  /** Highlight an option; -1 for none. */
  move(index) {
    this.active = index;
    [...this.list.children].forEach((node, at) => node.setAttribute("aria-selected", String(at === index)));
    this.list.children[index]?.scrollIntoView({ block: "nearest" });
    if (index >= 0) this.field.setAttribute("aria-activedescendant", `${this.list.id}-${index}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  take(index) {
    const { start, text } = this.options[index];
    const from = start - this.prefix.length;
    this.field.setRangeText(text, from, this.field.selectionStart, "end");
    this.close();
    this.onchange();
    if (text.endsWith(" ")) this.ask();
  }

  close() {
    this.asked++;
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
    this.active = -1;
    this.answered = this.options = [];
  }

  /** Arrows choose, Tab or Enter take, Escape closes; other keys are the field's own. */
  key(event) {
    if (!this.open || event.isComposing) return;
    const count = this.options.length;
    const chosen = this.active >= 0 ? this.active : 0;
    const doing = {
      ArrowDown: () => this.move((this.active + 1) % count),
      ArrowUp: () => this.move(this.active > 0 ? this.active - 1 : count - 1),
      Escape: () => this.close(),
      Tab: event.shiftKey ? null : () => this.take(chosen),
      Enter: this.active >= 0 ? () => this.take(this.active) : null,
    }[event.key];
    if (!doing) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    doing();
  }
}

/** The options that a line may still become; none if it has become one. */
function stillFitting(options, line) {
  const typed = ({ start }) => line.slice(start).toLowerCase();
  if (options.some((option) => option.text.trim().toLowerCase() === typed(option))) return [];
  return options.filter((option) => line.length >= option.start && option.text.toLowerCase().startsWith(typed(option)));
}
