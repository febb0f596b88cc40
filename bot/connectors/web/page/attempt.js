// Buttons whose work may fail: the server may be away, or refuse. What went wrong stands beside the button.

import { el } from "./dom.js";

/** A button that does `work` when it is pressed; if that throws, its sentence stands beside the button. */
export function pressable(label, work, attributes = {}) {
  const node = el("button", { type: "button", ...attributes, onclick: () => attempt(node, work) }, label);
  return node;
}

/** Do `work` for a button, once at a time; afterwards it can be pressed again. */
export async function attempt(node, work) {
  if (node.getAttribute("aria-busy") === "true") return;
  if (node.nextElementSibling?.matches(".trouble")) node.nextElementSibling.remove();
  node.setAttribute("aria-busy", "true"); // a disabled button would lose the focus
  try {
    await work();
  } catch (error) {
    node.after(el("span", { class: "trouble", role: "alert" }, error.message));
    node.nextElementSibling.scrollIntoView({ block: "nearest" });
  } finally {
    node.removeAttribute("aria-busy");
  }
}
