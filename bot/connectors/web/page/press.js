// Buttons under messages, in the viewer and in the gallery: what happens when one is pressed.

import { get, send, sure } from "./api.js";
import { openForm } from "./forms.js";

/** Do what a button says, or open its form filled in; gives whether it was done already. */
export async function press(button) {
  if (button.form) {
    const form = await get(`/form?${new URLSearchParams({ command: button.command, ...button.arguments })}`);
    openForm(form, button.label, (values, photos) => send({ ...form.fixed, ...values }, photos));
    return false;
  }
  if (button.confirm && !(await sure(button.confirm, button.label))) return false;
  await send({ command: button.command, ...button.arguments });
  return true;
}
