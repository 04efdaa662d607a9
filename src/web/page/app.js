// The page's frame: the bar with the views and stop, the banner of a lost connection, and the view that is open.

import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { computed } from "@preact/signals";
import { html } from "./html.js";
import { Apps } from "./apps.js";
import { Boards } from "./boards.js";
import { Device } from "./device.js";
import { Devices } from "./devices.js";
import { Fleet } from "./fleet.js";
import { apps, connection, entries, gateway, nextTry, now, problems, retryNow, start } from "./live.js";
import { Login, LogOut } from "./login.js";
import { isPresent } from "./names.js";
import { Questions } from "./questions.js";
import { route } from "./route.js";
import { hasPassword, loggedOut } from "./session.js";
import { startSampling } from "./spark.js";
import { listenForEscape, StopBar, StopHint } from "./stop.js";

const presentDevices = computed(() => entries.value.filter((entry) => isPresent(entry.device.value)).length);
const appCount = computed(() => apps.value.length);

/** The views in the bar; a further one is a line here and one in `View`. */
const VIEWS = [
  { view: "devices", label: "Devices", number: presentDevices },
  { view: "apps", label: "Apps", number: appCount },
  { view: "boards", label: "Boards" },
  { view: "fleet", label: "Fleet", isShown: () => gateway.value?.fleet },
];

function Bar() {
  const open = route.value.view === "device" ? "devices" : route.value.view;
  return html`
    <header class="bar">
      <p class="brand"><a href="#/devices">WSDM Gateway</a> <small class="quiet">${!loggedOut.value && gateway.value?.version}</small></p>
      ${!loggedOut.value && html`<nav aria-label="Views">
        ${VIEWS.filter(({ isShown }) => !isShown || isShown()).map(({ view, label, number }) => html`
          <a key=${view} href=${`#/${view}`} aria-current=${open === view ? "page" : undefined}>${label}${number && html` <span class="number">${number}</span>`}</a>`)}
      </nav>`}
      <${StopBar} />
    </header>
  `;
}

function Banner() {
  // One banner, whatever was lost; the region itself is always there, so that a screen reader speaks when it fills.
  const lost = connection.value === "lost";
  return html`<div class="banner-place" role="alert">${lost && html`<${Lost} />`}</div>`;
}

/** A configuration file that cannot be used. It is mended outside of the page, and goes by itself then. */
function Problems() {
  return html`
    <div class="banner-place" role="status">
      ${problems.value.map(({ error, hint }) => html`
        <div class="banner">
          <span><strong>The configuration is not applied.</strong> What was in force before stays. <code class="wrap">${error}</code> ${hint}</span>
        </div>`)}
    </div>
  `;
}

function Lost() {
  return html`
    <div class="banner">
      <span><strong>No connection to the gateway.</strong> What is shown may be out of date. Stop is tried all the same.</span>
      <span class="again"><${Countdown} /> <button type="button" class="act" onClick=${retryNow}>Try now</button></span>
    </div>
  `;
}

function Countdown() {
  const due = nextTry.value;
  const seconds = due === null ? 0 : Math.max(0, Math.ceil(due / 1000 - now.value));
  return html`<span aria-hidden="true">${seconds > 0 ? `Next try in ${seconds} s` : "Trying…"}</span>`;
}

function View() {
  const { view, address } = route.value;
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    // The focus follows to the new view's heading, as it would with a page of its own.
    if (!first.current) main.current.querySelector("h1")?.focus({ preventScroll: view === "devices" });
    first.current = false;
  }, [view, address]);
  return html`
    <main ref=${main}>
      ${view === "apps" ? html`<${Apps} />` : view === "boards" ? html`<${Boards} />` : view === "fleet" ? html`<${Fleet} />` : view === "device" ? html`<${Device} key=${address} address=${address} />` : html`<${Devices} />`}
    </main>
  `;
}

function Foot() {
  const { devices = [], clients = [], upstream } = gateway.value ?? {};
  const urls = (list) => list.map((url) => html`<code>${url}</code> `);
  return html`
    <footer class="quiet">
      ${devices.length > 0 && html`<p>Devices connect to ${urls(devices)}</p>`}
      ${clients.length > 0 && html`<p>Apps connect to ${urls(clients)}</p>`}
      ${upstream && html`<p>Everything is passed on to <code>${upstream}</code></p>`}
      <p class="foothint"><${StopHint} /></p>
      ${hasPassword.value && html`<${LogOut} />`}
    </footer>
  `;
}

function App() {
  if (loggedOut.value) {
    return html`
      <div class="top"><${Bar} /><${Banner} /></div><${Login} />
      <footer class="quiet"><p class="foothint"><${StopHint} /></p></footer>`;
  }
  return html`<div class="top"><${Bar} /><${Banner} /><${Problems} /><${Questions} /></div><${View} /><${Foot} />`;
}

start();
startSampling();
listenForEscape();
render(html`<${App} />`, document.getElementById("app"));
