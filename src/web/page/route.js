// Which view is open: it stands in the fragment of the address, so that reload and back work.

import { signal } from "@preact/signals";

/** What can be done with a device. */
const PANES = ["try", "watch", "configure"];

/** { view: "devices" | "apps" | "boards" | "fleet" } or { view: "device", address, pane: "try" | "watch" | "configure" } */
export const route = signal(parse(location.hash));

addEventListener("hashchange", () => (route.value = parse(location.hash)));

function parse(hash) {
  const [, view, address, pane] = hash.split("/");
  if (view === "device" && address) {
    try {
      return { view, address: decodeURIComponent(address), pane: PANES.includes(pane) ? pane : "try" };
    } catch {
      return { view: "devices" };
    }
  }
  return { view: ["apps", "boards", "fleet"].includes(view) ? view : "devices" };
}

export const deviceLink = (address, pane) => `#/device/${encodeURIComponent(address)}/${pane}`;
