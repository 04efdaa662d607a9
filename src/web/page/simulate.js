// Devices that the gateway simulates: for trying the page, or an app, without a board.

import { signal } from "@preact/signals";
import { html } from "./html.js";
import { call } from "./api.js";
import { useFact } from "./facts.js";
import { connected } from "./live.js";

/** What is chosen: "tcode", or a Lovense model. */
const chosen = signal("hush");
const models = signal(["hush"]);
const problem = signal(null);

let asked = false;
/** The models are asked for when the list is first used. */
async function askModels() {
  if (asked) return;
  asked = true;
  try {
    const response = await fetch("/api/simulated", { signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error();
    models.value = (await response.json()).models;
  } catch {
    asked = false;
  }
}

async function simulate(event) {
  event.preventDefault();
  const what = chosen.value === "tcode" ? { protocol: "tcode" } : { protocol: "lovense", model: chosen.value };
  problem.value = await call("POST", "/api/simulated", what);
}

export function Simulate() {
  return html`
    <form class="simulate" onSubmit=${simulate}>
      <label for="simulated">No board at hand?</label>
      <select id="simulated" value=${chosen} onFocus=${askModels} onPointerEnter=${askModels} onChange=${(event) => (chosen.value = event.currentTarget.value)}>
        <optgroup label="Lovense">
          ${models.value.map((model) => html`<option key=${model} value=${model}>${model}</option>`)}
        </optgroup>
        <optgroup label="TCode">
          <option value="tcode">one axis</option>
        </optgroup>
      </select>
      <button type="submit" class="act" disabled=${!connected.value}>Simulate it</button>
      ${problem.value && html`<span role="alert" class="problem">${problem}</span>`}
    </form>
  `;
}

/** Ends a simulated device; nothing for a real one. */
export function EndSimulation({ entry }) {
  const simulated = useFact(entry, (d) => d.is_simulated).value;
  if (!simulated) return null;
  const end = async () => {
    problem.value = await call("DELETE", `/api/simulated/${encodeURIComponent(entry.address)}`);
  };
  return html`<button type="button" class="act" disabled=${!connected.value} onClick=${end} aria-label=${`Stop simulating ${entry.address}`}>Stop simulating</button>`;
}
