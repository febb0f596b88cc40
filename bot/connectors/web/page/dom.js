// Small help for building the page. Whatever people typed becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `el("p", { class: "x", onclick: f }, "text", child)`. Null children are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Say something to people who listen to the page. */
export function announce(text) {
  byId("news").textContent = text;
}

/** The address of a picture in the store. */
export const source = (picture) => `/pictures/${picture.key}`;

/** A word as the start of a sentence. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
