// The Buttplug apps that are connected: who, from which web page, and what each drives.

import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { call } from "./api.js";
import { duration, fullTime } from "./format.js";
import { apps, connected, connection, entryOf, gateway, now, origins } from "./live.js";
import { deviceName, pageClientName } from "./names.js";
import { deviceLink } from "./route.js";

export function Apps() {
  const list = apps.value;
  const { clients = [], upstream } = gateway.value ?? {};
  return html`
    <div class="title"><h1 tabindex="-1">Apps</h1></div>
    ${upstream
      ? html`<p class="empty">Apps connect to the server or the hub behind this gateway, not to the gateway itself: <code>${upstream}</code></p>`
      : list.length === 0 && connection.value !== "connecting"
        ? html`<section class="empty"><p><strong>No app is connected.</strong> A Buttplug app connects to ${clients.map((url) => html`<code>${url}</code> `)}</p></section>`
        : html`<ul class="apps" aria-label="Connected apps">${list.map((app) => html`<${App} key=${app.id} app=${app} />`)}</ul>`}
    ${origins.value.length > 0 && html`<${Origins} />`}
  `;
}

/** The web pages that were answered for good. */
function Origins() {
  const problem = useSignal(null);
  const remove = async (origin) => {
    problem.value = await call("DELETE", `/api/origins/${encodeURIComponent(origin)}`);
  };
  return html`
    <h2>Web pages</h2>
    <ul class="origins" aria-label="Remembered web pages">
      ${origins.value.map(({ origin, answer }) => html`
        <li key=${origin}>
          <span class="name">${origin}</span>${" "}
          <span class="quiet">${answer === "never" ? "blocked" : "always admitted"}</span>${" "}
          <button type="button" class="act" disabled=${!connected.value} onClick=${() => remove(origin)} aria-label=${`Remove ${origin}`}>Remove</button>
        </li>`)}
    </ul>
    ${problem.value && html`<p role="alert" class="problem">${problem}</p>`}
  `;
}

function App({ app }) {
  const problem = useSignal(null);
  const block = async () => {
    problem.value = await call("POST", `/api/apps/${app.id}/block`);
  };
  const disconnect = async () => {
    problem.value = await call("POST", `/api/apps/${app.id}/disconnect`);
  };
  const isThis = app.is_page && app.name === pageClientName;
  const name = isThis ? "This page" : app.is_page ? "Another page of this gateway" : app.name || "An app without a name";
  return html`
    <li>
      <div class="who">
        <span class="name">${name}</span>${" "}
        <small class="quiet">${app.is_page ? "" : (app.origin ?? "not a web page")}</small>
      </div>
      <div class="drive">
        <span class="label">Drives</span>${" "}
        ${app.drives.length === 0
          ? html`<span class="quiet">nothing</span>`
          : app.drives.map((address, i) => html`${i > 0 && ", "}<a key=${address} href=${deviceLink(address, "try")}><${Drives} address=${address} /></a>`)}
      </div>
      <div class="from">
        <span>${app.peer}</span>${" "}
        <small class="quiet" title=${`since ${fullTime(app.since)}`}>for ${duration(now.value - app.since)}, message version ${app.message_version}</small>
      </div>
      <div class="c-actions">
        <button type="button" class="act" disabled=${!connected.value} onClick=${disconnect} aria-label=${`Disconnect ${name}`}>Disconnect</button>
        ${app.origin && !app.is_page && html`
          <button type="button" class="act" disabled=${!connected.value} onClick=${block} aria-label=${`Block ${app.origin}`}>Block</button>`}
        ${problem.value && html`<span role="alert" class="problem">${problem}</span>`}
      </div>
    </li>
  `;
}

function Drives({ address }) {
  const device = entryOf(address)?.device.value;
  return device ? `${deviceName(device)} (${address})` : address;
}
