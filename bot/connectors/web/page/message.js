// One message: what was said, and the answer, which is changed in place as it goes on.

import { announce, el } from "./dom.js";
import { pressable } from "./attempt.js";
import { press } from "./press.js";
import { lossCurve } from "./curve.js";
import { previews, release } from "./photos.js";
import { deletion, download, image, tiles } from "./pictures.js";

const STEPS = ["Photos checked", "Class images", "Learning", "Ready"];
const STEP_OF = { queued: 0, loading: 0, "class images": 1, learning: 2, sampling: 2, saving: 2 };

const FOLDED = new Set(["dreambooth show"]); // commands whose answer is pictures and buttons first
const OPEN_FACTS = 4; // of a folded list

/** A message on the page. `update` shows its newest state, touching only the parts that changed. */
export class MessageView {
  constructor(trains) {
    this.trains = trains; // whether it is a training, which goes through steps
    this.shown = {};
    this.said = el("div", { class: "said" });
    this.parts = Object.fromEntries(
      ["steps", "text", "bar", "preview", "pictures", "curve", "facts", "buttons"].map((name) => [name, el("div", { class: name })]));
    this.answer = el("div", { class: "answer", tabindex: "-1" }, Object.values(this.parts));
    this.node = el("li", {}, this.said, this.answer);
  }

  update(message) {
    const { reply, progress } = message;
    this.message = message;
    const working = reply.state === "working";
    const held = this.answer.contains(document.activeElement);
    this.node.dataset.state = reply.state;
    this.node.classList.toggle("made", reply.state === "done" && !this.trains && Boolean(reply.grid));
    this.answer.setAttribute("aria-busy", String(working));
    this.show(this.said, "said", [message.said, message.photos, message.at_s], () => said(message));
    this.part("steps", this.trains && reply.fault !== "input" && [reply.state, reply.job, progress?.phase], () => steps(message));
    this.part("text", [reply.text, reply.links], () => [el("p", {}, linked(reply))]);
    this.part("bar", working && reply.job && [progress?.step, progress?.of], () => [bar(progress)]);
    this.part("preview", working && reply.preview && [reply.job, reply.preview], () => [this.preview(reply)]);
    this.part("pictures", reply.pictures.length && [reply.pictures, working], () => [pictures(reply, working)]);
    this.part("curve", working && progress?.losses.length > 1 && [progress.losses, progress.validated],
      () => [lossCurve(progress.losses, progress.validated)]);
    this.part("facts", openly(reply) && reply.facts, () => FOLDED.has(message.command) ? folded(reply.facts) : [facts(reply.facts)]);
    this.part("buttons", [reply.buttons, reply.state, reply.job, reply.facts], () => buttons(message));
    this.tell(reply, progress);
    if (held && !this.answer.contains(document.activeElement)) this.answer.focus();
  }

  /** What is drawn as it looks so far; one image, which shows the last preview until it has the next. */
  preview({ job, preview }) {
    this.soFar ||= el("img", { alt: "The picture as it looks so far", onerror: ({ target }) => { target.hidden = true; },
      onload: ({ target }) => { target.hidden = false; } });
    this.soFar.src = `/previews/${job}?n=${preview}`;
    return this.soFar;
  }

  /** Fill a part if what it shows has changed; nothing to show empties it. */
  part(name, value, build) {
    this.show(this.parts[name], name, value || null, build);
  }

  show(node, name, value, build) {
    const key = JSON.stringify(value);
    if (this.shown[name] === key) return;
    this.shown[name] = key;
    node.replaceChildren(...(value ? build() : []));
  }

  /** Announce what matters, and not each step of it. */
  tell(reply, progress) {
    const now = reply.state === "working" ? progress?.phase : reply.state;
    if (this.told && now && now !== this.told) announce(reply.text);
    this.told = now || "begun";
  }
}

/** Whether the facts are the answer itself, as in a list, and not details of a result. */
const openly = (reply) => !reply.job && Object.values(reply.facts).every((value) => !value.includes("\n"))
  && Object.keys(reply.facts).length > 0;

/** The text with its links, which lead out of this page. */
function linked({ text, links = [], is_markdown: isMarkdown }) {
  const points = [...text]; // Python counts code points
  const words = (from, to) => isMarkdown ? bold(points.slice(from, to).join("")) : [points.slice(from, to).join("")];
  const parts = [];
  let at = 0;
  for (const { start, end, url } of links) {
    parts.push(...words(at, start));
    parts.push(el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...words(start, end)));
    at = end;
  }
  return [...parts, ...words(at)];
}

/** What is bold in Markdown; all else stays as it is written. */
const bold = (text) => text.split(/\*\*(?=\S)([^*\n]+?)\*\*/).map((part, index) => index % 2 ? el("strong", {}, part) : part);

function said(message) {
  const when = new Date(message.at_s * 1000);
  const photos = message.photos.map((photo) => el("li", { title: photo.name }, thumbnail(photo)));
  return [
    el("p", { class: "line", title: when.toLocaleString() }, unbroken(message.said || "(nothing)")),
    photos.length ? el("ul", { class: "photos", "aria-label": "Photos sent" }, photos) : "",
  ];
}

/** A photo as the server keeps it, until then as this page has sent it; else its name. */
function thumbnail({ name, key }) {
  if (key) release(name);
  if (key) return image({ key, width_px: 64, height_px: 64, caption: name }, { class: "", loading: "eager" });
  const asName = () => el("span", { class: "name" }, name);
  const url = previews.get(name);
  return url ? el("img", { src: url, alt: name, onerror: ({ target }) => target.replaceWith(asName()) }) : asName();
}

/** What was said, its options kept from breaking after a dash. */
const unbroken = (said) => said.split(/(?<=\s)(--[a-z]+)/).map((part, index) => index % 2 ? el("span", {}, part) : part);

function steps({ reply, progress }) {
  const done = reply.state === "done" && reply.job; // a question about the photos has none
  const at = done ? STEPS.length : reply.job ? STEP_OF[progress?.phase] ?? 0 : -1;
  const waiting = reply.job && at === 0; // the photos are checked, and what comes next has not begun
  return [el("ol", { class: "phases" }, STEPS.map((name, index) => {
    const state = index < at || (waiting && index === 0) ? "past"
      : index > Math.max(at, 0) || waiting ? "future" : reply.state === "working" ? "now" : "stopped";
    return el("li", { class: state, "aria-current": state === "now" && "step" }, name);
  }))];
}

function bar(progress) {
  return progress?.of
    ? el("progress", { value: progress.step, max: progress.of, "aria-label": "Progress" })
    : el("progress", { "aria-label": "Waiting" });
}

function pictures(reply, working) {
  const count = reply.pictures.length;
  const shape = working || openly(reply) ? "strip" : count === 1 ? "one" : count <= 4 ? "few" : "many";
  return el("div", { class: `grid ${shape}` }, tiles(reply.pictures, reply));
}

function facts(values) {
  return el("dl", { class: "table" }, Object.entries(values).flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", {}, value)]));
}

/** The first facts, and the others behind a line to press. */
function folded(values) {
  const all = Object.entries(values);
  const [first, others] = [all.slice(0, OPEN_FACTS), all.slice(OPEN_FACTS)].map(Object.fromEntries);
  if (all.length <= OPEN_FACTS + 1) return [facts(values)];
  return [facts(first), el("details", { class: "fold" },
    el("summary", {}, `${all.length - OPEN_FACTS} more details`), facts(others))];
}

function buttons({ reply, progress }) {
  const given = reply.buttons.map((each) => deletion(each, reply.pictures.length)).map((button) =>
    pressable(button.label, () => press(button), { class: button.style === "plain" ? "" : button.style }));
  const ended = reply.state === "done" && !openly(reply) && Object.keys(reply.facts).length > 0;
  const panel = ended ? details(reply, progress) : null;
  const more = [
    reply.state === "done" && reply.job && reply.pictures.length ? downloads(reply) : null,
    panel && toggle("Details", panel),
  ];
  // What destroys stands last, away from what is pressed often.
  const safe = given.filter((node) => !node.classList.contains("danger"));
  const dangerous = given.filter((node) => node.classList.contains("danger"));
  return [...safe, ...more, ...dangerous, panel].filter(Boolean);
}

function downloads(reply) {
  const single = reply.pictures.map((picture, index) =>
    el("li", {}, download(picture, `Picture ${index + 1}${picture.seed == null ? "" : ` (seed ${picture.seed})`}`)));
  const all = reply.grid ? [el("li", {}, download({ caption: "grid", ...reply.grid }, "All in one picture"))] : [];
  return el("details", { class: "menu", name: "menu" }, el("summary", {}, "Download"), el("ul", {}, all, single));
}

function details(reply, progress) {
  return el("div", { class: "details", id: `details-${reply.job}`, hidden: true },
    facts(reply.facts), progress?.losses.length > 1 ? lossCurve(progress.losses, progress.validated) : null);
}

/** A button that shows and hides a panel. */
function toggle(label, panel) {
  const button = el("button", { type: "button", "aria-expanded": "false", "aria-controls": panel.id, onclick: () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    panel.scrollIntoView({ block: "nearest" });
  } }, label);
  return button;
}

