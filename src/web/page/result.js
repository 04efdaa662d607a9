// What a change of a configuration file came to.

import { html, sentence } from "./html.js";

export function Result({ changed: { file, backup, applied, after_restart, warnings } }) {
  return html`
    <div class="note done">
      <p>${file ? html`Saved to <code>${file}</code>.` : "The file says that already."}${backup && html` The version before is <code>${backup}</code>.`}</p>
      ${applied.map((what) => html`<p key=${what}>${sentence(what)}</p>`)}
      ${after_restart.length > 0 && html`<p>At the next start: ${after_restart.join(", ")}</p>`}
      ${warnings.map((what) => html`<p key=${what} class="warn">${sentence(what)}</p>`)}
    </div>
  `;
}
