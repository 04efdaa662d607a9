// The fleet: the edges and hubs behind the broker, who owns which device, and the stop of all of it.

import { useEffect } from "preact/hooks";
import { html } from "./html.js";
import { clock, duration, fullTime, plural } from "./format.js";
import { connected, entryOf, fleet, now, showFleet } from "./live.js";
import { wayName } from "./names.js";
import { deviceLink } from "./route.js";
import { stopFleet } from "./stop.js";

export function Fleet() {
  useEffect(() => {
    showFleet(true);
    return () => showFleet(false);
  }, []);
  const { hub, edge } = fleet.value ?? {};
  return html`
    <div class="title"><h1 tabindex="-1">Fleet</h1></div>
    <div class="fleetstop">
      <button type="button" class="stop-one" aria-describedby="fleetstop" onClick=${stopFleet}>Stop the whole fleet</button>
      <p class="quiet" id="fleetstop">Every device of every edge stops, whichever hub drives it, and is taken from its hub, which claims it again.
        From anywhere: <code>wsdm-gateway fleet stop</code></p>
    </div>
    ${!hub && !edge && connected.value && html`<p class="empty">Asking…</p>`}
    ${hub && html`<${Hub} hub=${hub} />`}
    ${edge && html`<${Edge} edge=${edge} />`}
  `;
}

function Hub({ hub: { name, broker, others, edges } }) {
  return html`
    <section class="fleet" aria-labelledby="h-hub">
      <h2 id="h-hub">Hub ${name}</h2>
      <${Broker} broker=${broker} />
      ${others.length > 0 && html`<p>Other hubs: ${others.join(", ")}</p>`}
      ${edges.length === 0
        ? html`<p class="empty">No edge is known. A gateway is one if its gateway.toml has <code>[upstream] mqtt</code>, with this broker.</p>`
        : html`<ul class="members" aria-label="Edges">${edges.map((edge) => html`<${EdgeOf} key=${edge.name} edge=${edge} />`)}</ul>`}
    </section>
  `;
}

/** How the connection to the broker stands. */
function Broker({ broker: { url, connected_since: since, last_error: error, last_error_at: at } }) {
  return html`
    <p>
      <code>${url}</code>${" "}
      ${since !== null
        ? html`<span class="badge ready">Connected</span> <small class="quiet" title=${`since ${fullTime(since)}`}>for ${duration(now.value - since)}</small>`
        : html`<span class="badge refused">Not connected</span>`}
    </p>
    ${since === null && error !== null && html`<p class="problem">${error} <small class="quiet">at ${clock(at).slice(0, 8)}</small></p>`}
  `;
}

const PRESENCE = { there: ["ready", "There"], silent: ["connecting", "Not heard"], gone: ["", "Gone"] };

/** An edge, as a hub knows it. */
function EdgeOf({ edge: { name, state, version, beat_age_ms: age, device_count: count, devices } }) {
  const [kind, word] = PRESENCE[state];
  return html`
    <li>
      <div class="member">
        <span class="name">${name}</span> <span class=${`badge ${kind}`}>${word}</span>
        <small class="quiet">${[age !== null && `last beat ${ago(age)}`, state !== "gone" && (count > 0 ? plural(count, "device") : "no devices"), version && `version ${version}`].filter(Boolean).join(", ")}</small>
      </div>
      ${state === "silent" && html`<p class="quiet">It has stopped its devices, since it does not hear this hub either; or it hangs.</p>`}
      <${Owned} devices=${devices} of=${name} />
      ${count > devices.length && html`<p class="quiet">and ${plural(count - devices.length, "other")}</p>`}
    </li>
  `;
}

function Edge({ edge: { name, broker, hubs, devices } }) {
  return html`
    <section class="fleet" aria-labelledby="h-edge">
      <h2 id="h-edge">Edge ${name}</h2>
      <${Broker} broker=${broker} />
      ${hubs.length === 0
        ? html`<p class="empty">No hub was heard. One answers once this edge has a device. A gateway is a hub if its gateway.toml has <code>[mqtt] broker</code>, with this broker.</p>`
        : html`<ul class="members" aria-label="Hubs">${hubs.map(({ name, lease_age_ms: age, devices }) => html`
            <li key=${name}>
              <div class="member">
                <span class="name">${name}</span> <span class=${`badge ${age === null ? "" : "ready"}`}>${age === null ? "Lease over" : "Lease lives"}</span>
                <small class="quiet">${age === null ? "" : `renewed ${ago(age)}, `}owns ${plural(devices, "device")}</small>
              </div>
            </li>`)}</ul>`}
      ${devices.length > 0 && html`<h3>Devices</h3>`}
      <${Owned} devices=${devices} of=${name} />
    </section>
  `;
}

/** The devices of an edge, and which hub has each. */
function Owned({ devices, of }) {
  if (devices.length === 0) return null;
  return html`
    <ul class="owned" aria-label=${`Devices of ${of}`}>
      ${devices.map(({ id, address, identifier, way, owner, is_ours: isOurs }) => html`
        <li key=${id}>
          <div class="name">${isOurs && entryOf(address) ? html`<a href=${deviceLink(address, "try")}>${address}</a>` : address}</div>
          <div class="quiet">${identifier}${way && `, ${wayName(way)}`}</div>
          <div>${owner === null ? html`<span class="quiet">free</span>` : html`${owner.hub}${owner.lapsed && html` <small class="warn">lease over</small>`}`}</div>
        </li>`)}
    </ul>
  `;
}

/** Milliseconds → "0.2 s ago", "12 s ago" */
const ago = (ms) => `${ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000)} ago`;
