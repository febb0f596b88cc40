// Talking with the server: what is said goes out here; answers come back through the stream in chat.js.

import { byId } from "./dom.js";

const PATIENCE_S = 30; // for an answer; sending photos may take longer

/** Read JSON; throws an Error whose message is a sentence. */
export async function get(path) {
  return answer(() => fetch(path, { signal: AbortSignal.timeout(1000 * PATIENCE_S) }));
}

/** Send what was typed (`{line}`) or pressed (`{command, …arguments}`) with photos; gives the new message. */
export async function send(values, photos = []) {
  const form = new FormData();
  for (const [name, value] of Object.entries(values)) form.append(name, value);
  for (const photo of photos) form.append("photos", photo, photo.name || "photo");
  const signal = photos.length ? null : AbortSignal.timeout(1000 * PATIENCE_S);
  return answer(() => fetch("/messages", { method: "POST", body: form, signal }));
}

async function answer(ask) {
  let response;
  let body;
  try {
    response = await ask();
    body = await response.text();
  } catch (error) {
    if (error.name === "TimeoutError") throw new Error(`Darkroom has not answered for ${PATIENCE_S} seconds. Please try again.`);
    throw new Error("Darkroom does not answer. Is it still running?");
  }
  const said = parsed(body);
  if (response.ok && said) return said;
  throw new Error(said?.error || sentence(response, body));
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** What is said of a refusal in plain text: the server's own sentence, unless it is a proxy's page or a failure. */
function sentence(response, body) {
  const plain = response.status < 500 && response.headers.get("Content-Type")?.startsWith("text/plain");
  return plain && body.trim() ? body.trim() : `This did not work (error ${response.status}). Please try again.`;
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
