// The form that asks for the password. Stop stays above it, and needs no session.

import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { retryNow } from "./live.js";
import { hasPassword, logIn, logOut } from "./session.js";

export function Login() {
  const field = useRef(null);
  const busy = useSignal(false);
  const problem = useSignal(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    problem.value = null;
    const failed = await logIn(field.current.value);
    busy.value = false;
    if (failed === null) return retryNow();
    problem.value = failed;
    field.current?.select();
    field.current?.focus();
  };
  return html`
    <main>
      <h1 tabindex="-1">Log in</h1>
      ${hasPassword.value
        ? html`
          <form class="login" onSubmit=${submit}>
            <input type="text" name="username" autocomplete="username" value="wsdm-gateway" hidden />
            <label for="password">Password</label>
            <input id="password" name="password" type="password" autocomplete="current-password" required ref=${field}
              aria-invalid=${problem.value ? "true" : undefined} aria-describedby="login-problem" />
            <button type="submit" class="act" aria-disabled=${busy.value}>Log in</button>
            <p id="login-problem" role="alert" class="problem">${problem}</p>
            <p class="quiet">It is the <code>password</code> under <code>[page]</code> in gateway.toml. Stop works without it.</p>
          </form>`
        : html`<p class="empty">This page has a token for scripts, but no password. Set <code>password</code> under <code>[page]</code> in
          gateway.toml, or start the gateway with <code>--open</code>. Stop works without it.</p>`}
    </main>
  `;
}

export function LogOut() {
  const problem = useSignal(null);
  const leave = async () => {
    problem.value = await logOut();
  };
  return html`<p><button type="button" class="act" onClick=${leave}>Log out</button>${" "}
    <span role="alert" class="problem">${problem}</span></p>`;
}
