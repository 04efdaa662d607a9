// Calls of the REST interface. Stop has its own, in stop.js: it tries harder; the session has its own, in session.js.

import { sessionEnded } from "./session.js";

/** Resolves to null, or to what went wrong as one text. `body` is sent as JSON. */
export async function call(method, path, body) {
  const content = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(path, { method, ...content, signal: AbortSignal.timeout(10000) });
    if (response.ok) return null;
    if (response.status === 401) sessionEnded();
    const refusal = await response.json().catch(() => null);
    if (!refusal?.error) return `The gateway answered ${response.status}.`;
    return refusal.hint ? `${refusal.error} ${refusal.hint}` : refusal.error;
  } catch {
    return "The gateway does not answer.";
  }
}
