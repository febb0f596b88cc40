// The loss of a training as a small curve: what was measured, faint, and its trend.

import { el, svg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 44;
const MARGIN = 3;

/** A curve of at least two losses, oldest first; `validated`: the newest validation losses, instance and prior. */
export function lossCurve(losses, validated) {
  const smooth = trend(losses);
  const low = Math.min(...losses);
  const span = Math.max(...losses) - low || 1;
  const points = (values) => values.map((value, index) => {
    const x = MARGIN + (index / (values.length - 1)) * (WIDTH - 2 * MARGIN);
    const y = MARGIN + (1 - (value - low) / span) * (HEIGHT - 2 * MARGIN);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  }).join(" ");
  const label = `Loss from ${smooth[0].toFixed(3)} to ${smooth.at(-1).toFixed(3)}`;
  return el("figure", { class: "loss" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      svg("polyline", { points: points(losses), class: "raw" }),
      svg("polyline", { points: points(smooth), class: "trend" })),
    el("figcaption", {}, `loss ${smooth.at(-1).toFixed(3)}${validated ? `, validation ${validated[0].toFixed(3)}` : ""}`));
}

/** A running mean that trusts the newest fifth most: single steps of diffusion training are mostly noise. */
function trend(losses) {
  const weight = Math.min(1, 2 / (losses.length / 5 + 1));
  let mean = losses[0];
  return losses.map((loss) => (mean += weight * (loss - mean)));
}
