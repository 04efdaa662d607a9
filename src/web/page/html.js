// Templates without a build step: htm turns a tagged template into Preact's nodes. Text stays text; nothing here parses HTML.

import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);

/** A sentence of the gateway's: what stands between backticks is shown as code. */
export const sentence = (text) => text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
