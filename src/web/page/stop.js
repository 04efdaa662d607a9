// Stop everything. It asks nothing, needs neither the live socket nor a session, and says what came of it.

import { signal } from "@preact/signals";
import { html, sentence } from "./html.js";
import { clock, count, plural } from "./format.js";
import { sessionEnded } from "./session.js";

/** Counts the presses, here and on a device's own button: a slider lets go of what it holds. `address` is null for all. */
export const stopRequests = signal({ times: 0, address: null });
/** What came of the last one: { kind: "busy" | "good" | "bad", text, at } */
const outcome = signal(null);

const TRIES = 4;
const BETWEEN_TRIES = 400;
const PATIENCE = 4000;

let latest = 0;

/** Stops every device, or the one of this address. */
export const stop = (address = null) =>
  press(address === null ? "/api/stop" : `/api/devices/${encodeURIComponent(address)}/stop`, address, stopped);

/** Stops every device of every edge of the fleet, and those of this gateway. */
export const stopFleet = () => press("/api/fleet/stop", null, fleetStopped);

/** What a stop came to: how it is shown, and the text. */
function stopped({ stopped, failed }) {
  if (failed.length) return ["bad", `${failed.join(", ")} did not take the stop: switch it off by hand. ${plural(stopped, "other")} stopped.`];
  return ["good", stopped === 0 ? "Nothing is connected that could run." : `Stopped ${plural(stopped, "device")}.`];
}

function fleetStopped({ here, edges, silent, unanswered }) {
  const failed = [];
  if (here.failed.length) failed.push(stopped(here)[1]);
  if (unanswered.length) failed.push(`No answer to the stop: ${unanswered.join(", ")}. What runs there, switch off by hand.`);
  if (silent.length) failed.push(`The broker passed the stop on, but ${silent.join(", ")} ${silent.length === 1 ? "is" : "are"} not heard: if a device runs there, switch it off by hand.`);
  if (failed.length) return ["bad", failed.join(" ")];
  // An edge does not know the other edges.
  return ["good", edges.length ? `Stopped the fleet: ${plural(edges.length, "edge")}.` : "The broker passed the stop on."];
}

/** The session ended before the fleet was stopped. */
const hereAlone = (body) => ["bad", `The fleet is not stopped: log in, and press again. At this gateway: ${stopped(body)[1]}`];

async function press(path, address, outcomeOf) {
  const mine = ++latest;
  stopRequests.value = { times: mine, address };
  const show = (kind, text) => {
    // A later press has the word.
    if (mine === latest) outcome.value = { kind, text, at: clock(Date.now() / 1000).slice(0, 8) };
  };
  show("busy", "Stopping…");
  for (let attempt = 1; ; attempt++) {
    try {
      // `keepalive` lets the request finish even if the page is closed in the same moment.
      const response = await fetch(path, { method: "POST", keepalive: true, signal: AbortSignal.timeout(PATIENCE) });
      if (response.status === 401 && path !== "/api/stop") {
        // To stop one device, or the fleet, needs a session; to stop everything here does not.
        sessionEnded();
        return press("/api/stop", null, path === "/api/fleet/stop" ? hereAlone : stopped);
      }
      const body = await response.json().catch(() => null);
      if (!response.ok) {
        show("bad", `Not stopped: ${body?.error ?? `the gateway answered ${response.status}`}${body?.hint ? `; ${body.hint}` : ""}`);
        return;
      }
      show(...outcomeOf(body));
      return;
    } catch {
      if (attempt === TRIES) {
        show("bad", `Not stopped: the gateway does not answer. Run \`${path === "/api/fleet/stop" ? "wsdm-gateway fleet stop" : "wsdm-gateway stop"}\` on its machine, or switch the device off.`);
        return;
      }
      show("busy", `The gateway does not answer; trying again (${count(attempt + 1)} of ${TRIES})…`);
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_TRIES));
    }
  }
}

/** Escape stops, wherever the focus is in the page. */
export function listenForEscape() {
  addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Escape" && !event.repeat) stop();
    },
    { capture: true },
  );
}

/** What else stops, and where a key does not. */
export const StopHint = () => html`<kbd>Esc</kbd> works only while this page has the focus.${" "}
  From anywhere: <code>wsdm-gateway stop</code>`;

export function StopBar() {
  const said = outcome.value;
  return html`
    <div class="stopbar">
      <p class=${`outcome ${said?.kind ?? "idle"}`} role="status" aria-label="Result of stop">
        ${said && html`<span>${sentence(said.text)}</span> <time>${said.at}</time>`}
      </p>
      <p class="stophint" id="stophint"><${StopHint} /></p>
      <button type="button" class="stop" aria-describedby="stophint" onClick=${() => stop()}>Stop everything</button>
    </div>
  `;
}
