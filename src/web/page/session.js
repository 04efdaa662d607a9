// Whether one is logged in. The gateway decides: here is only what it said last.

import { computed, signal } from "@preact/signals";

/** What the gateway said: { is_required, has_password, is_admitted }; null before it said anything. */
const said = signal(null);
/** The page has to ask for the password. */
export const loggedOut = computed(() => said.value !== null && !said.value.is_admitted);
export const hasPassword = computed(() => said.value?.has_password ?? false);

const PATIENCE = 10000;

/** The code with which the gateway opened this page. It leaves the address, and with it the history, at once. */
let code = null;
if (location.hash.startsWith("#code=")) {
  code = location.hash.slice("#code=".length);
  history.replaceState(null, "", location.pathname);
}

/** Asks whether a session is needed and there. Resolves to whether the page may go on; rejects if nothing answers. */
export async function admitted() {
  if (code !== null) {
    const mine = code;
    code = null;
    await post("/api/login", { code: mine });
  }
  const response = await fetch("/api/login", { signal: AbortSignal.timeout(PATIENCE) });
  if (!response.ok) throw new Error(`The gateway answered ${response.status}.`);
  said.value = await response.json();
  return said.value.is_admitted;
}

/** A request was refused, or a websocket closed, because the session has ended. */
export function sessionEnded() {
  if (said.value !== null) said.value = { ...said.value, is_admitted: false };
}

/** Resolves to null, or to why one is not logged in. */
export async function logIn(password) {
  const problem = await post("/api/login", { password });
  if (problem === null) said.value = { ...said.value, is_admitted: true };
  return problem;
}

/** Resolves to null, or to why one is still logged in. The websockets close as the session ends. */
export async function logOut() {
  const problem = await post("/api/logout");
  if (problem === null) sessionEnded();
  return problem;
}

async function post(path, body) {
  const content = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(path, { method: "POST", ...content, signal: AbortSignal.timeout(PATIENCE) });
    // A session that has ended already needs no end.
    if (response.ok || (path === "/api/logout" && [401, 404].includes(response.status))) return null;
    const refusal = await response.json().catch(() => null);
    return refusal?.error ? `${refusal.error[0].toUpperCase()}${refusal.error.slice(1)}.` : `The gateway answered ${response.status}.`;
  } catch {
    return "The gateway does not answer.";
  }
}
