// Talking with the server: what is said goes out here; answers come back through the stream in chat.js.

import { byId } from "./dom.js";

/** Read JSON; throws an Error whose message is a sentence. */
export async function get(path) {
  return answer(() => fetch(path));
}

/** Send what was typed (`{line}`) or pressed (`{command, …arguments}`) with photos; gives the new message. */
export async function send(values, photos = []) {
  const form = new FormData();
  for (const [name, value] of Object.entries(values)) form.append(name, value);
  for (const photo of photos) form.append("photos", photo, photo.name || "photo");
  return answer(() => fetch("/messages", { method: "POST", body: form }));
}

async function answer(ask) {
  let response;
  try {
    response = await ask();
  } catch {
    throw new Error("Darkroom does not answer. Is it still running?");
  }
  if (response.ok) return response.json();
  const body = await response.text();
  let sentence = body;
  try {
    sentence = JSON.parse(body).error;
  } catch { /* it was said in plain text */ }
  throw new Error(sentence);
}

/** Ask before something that cannot be undone. */
export async function sure(question, label) {
  const dialog = byId("question");
  byId("question-text").textContent = question;
  byId("question-yes").textContent = label;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  return dialog.returnValue === "yes";
}
