// Calls of the REST interface. Stop has its own, in stop.js: it tries harder; the session has its own, in session.js.

import { sessionEnded } from "./session.js";

/** Resolves to `{ answer }`, or to `{ problem }`: what went wrong as one text. `body` is sent as JSON. */
export async function ask(method, path, body, patience = 10000) {
  const content = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(path, { method, ...content, signal: AbortSignal.timeout(patience) });
    if (response.ok) return { answer: response.status === 204 ? null : await response.json() };
    if (response.status === 401) sessionEnded();
    const refusal = await response.json().catch(() => null);
    if (!refusal?.error) return { problem: `The gateway answered ${response.status}.` };
    return { problem: refusal.hint ? `${refusal.error}; ${refusal.hint}` : refusal.error };
  } catch {
    return { problem: "The gateway does not answer." };
  }
}

/** Resolves to null, or to what went wrong as one text. */
export async function call(method, path, body) {
  return (await ask(method, path, body)).problem ?? null;
}
