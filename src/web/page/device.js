// One device: its facts, and what there is to do with it. On a wide screen its frames stand beside the sliders.

import { signal, useComputed } from "@preact/signals";
import { html } from "./html.js";
import { Battery, Driver, Drops, Frames, Reason, RoundTrip, State, useFact } from "./facts.js";
import { Configure } from "./configure.js";
import { Forget } from "./devices.js";
import { connection, entries } from "./live.js";
import { Mend } from "./mend.js";
import { deviceName, isPresent, peerName, wayName } from "./names.js";
import { deviceLink, route } from "./route.js";
import { EndSimulation } from "./simulate.js";
import { Spark } from "./spark.js";
import { TryIt } from "./tryit.js";
import { Watch } from "./watch.js";

const wideScreen = matchMedia("(min-width: 1100px)");
const wide = signal(wideScreen.matches);
wideScreen.addEventListener("change", () => (wide.value = wideScreen.matches));

export function Device({ address }) {
  const entry = useComputed(() => entries.value.find((entry) => entry.address === address)).value;
  if (entry) return html`<${Known} key=${entry.key} entry=${entry} />`;
  return html`
    <p><a href="#/devices">← All devices</a></p>
    <h1 tabindex="-1">${address}</h1>
    <p class="quiet" role="status">${connection.value === "connecting" ? "Connecting to the gateway…" : "No device with this address is known. It appears here when it connects."}</p>
  `;
}

function Known({ entry }) {
  const name = useFact(entry, deviceName);
  const identifier = useFact(entry, (d) => d.identifier);
  const way = useFact(entry, (d) => wayName(d.way));
  const peer = useFact(entry, peerName);
  const explained = useFact(entry, (d) => Boolean(d.reason || d.hint)).value;
  const here = useFact(entry, isPresent).value;
  const { pane } = route.value;
  const watching = pane === "watch";
  const beside = pane === "try" && wide.value;
  const current = (one) => (pane === one ? "page" : undefined);
  return html`
    <div class=${beside ? "device beside" : "device"}>
    <p class="back"><a href="#/devices">← All devices</a></p>
    <div class="title"><h1 tabindex="-1">${name}</h1> <p class="c-state"><${State} entry=${entry} /></p> <${EndSimulation} entry=${entry} /> ${!here && html`<${Forget} entry=${entry} />`}</div>
    ${explained && html`<p class="c-reason"><${Reason} entry=${entry} /></p>`}
    <${Mend} entry=${entry} />
    <dl class="facts">
      <div><dt>Address</dt><dd>${entry.address} <small class="quiet">${identifier}</small></dd></div>
      <div><dt>Way</dt><dd>${way} <small class="quiet">${peer}</small></dd></div>
      <div><dt>Driven by</dt><dd><${Driver} entry=${entry} /></dd></div>
      <div><dt>Frames</dt><dd class="c-frames"><${Frames} entry=${entry} /></dd></div>
      <div><dt>Last minute</dt><dd><${Spark} entry=${entry} /></dd></div>
      <div><dt>Round trip</dt><dd><${RoundTrip} entry=${entry} /> <${Drops} entry=${entry} /></dd></div>
      <div><dt>Battery</dt><dd><${Battery} entry=${entry} /></dd></div>
    </dl>
    <nav class="panes" aria-label="What to do with the device">
      <a href=${deviceLink(entry.address, "try")} aria-current=${current("try")}>Try it</a>
      <a href=${deviceLink(entry.address, "watch")} aria-current=${current("watch")}>Watch</a>
      <a href=${deviceLink(entry.address, "configure")} aria-current=${current("configure")}>Configure</a>
    </nav>
    <div class=${beside ? "side-by-side" : ""}>
      ${pane === "try" && html`<section aria-labelledby="h-try"><h2 id="h-try">Try it</h2><${TryIt} entry=${entry} /></section>`}
      ${(watching || beside) && html`<section key="watch" aria-labelledby="h-watch"><h2 id="h-watch">Watch</h2><${Watch} entry=${entry} /></section>`}
      ${pane === "configure" && html`<section aria-labelledby="h-configure"><h2 id="h-configure">Configure</h2><${Configure} entry=${entry} /></section>`}
    </div>
    </div>
  `;
}
