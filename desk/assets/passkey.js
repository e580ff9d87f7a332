// Passkeys: what a page does with them. Where there are none, or no scripts, a password and a code do the same.
"use strict";

(() => {
  // A browser binds passkeys to names of hosts, never to bare addresses.
  const named = !/^[\d.]+$|:|\[/.test(location.hostname);
  if (!named || !window.PublicKeyCredential || !navigator.credentials) return;

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  class Refused extends Error {}

  const post = async (path, body) => {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(path, { method: "POST", credentials: "same-origin", headers, body: JSON.stringify(body) });
    const said = answer.headers.get("content-type")?.includes("json") ? await answer.json() : {};
    if (!answer.ok) throw new Refused(said.code === "not-opened" ? "" : said.detail ?? "");
    return said;
  };

  const known = (list) => list.map((one) => ({ ...one, id: bytes(one.id) }));

  // Asks a passkey, and gives what it answered as the platform reads it.
  const asked = async (path) => {
    const { rpId, timeout, userVerification, ...options } = await post(path, {});
    const publicKey = {
      rpId, timeout, userVerification, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials),
    };
    const { rawId, response } = await navigator.credentials.get({ publicKey });
    return {
      credential: text(rawId),
      client_data: text(response.clientDataJSON),
      authenticator_data: text(response.authenticatorData),
      signature: text(response.signature),
      user_handle: response.userHandle ? text(response.userHandle) : null,
    };
  };

  const made = async (fields) => {
    const options = await post("/v1/passkeys/new", { password: fields.password.value, code: fields.code.value.replace(/\s/g, "") });
    const publicKey = {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    };
    const { response } = await navigator.credentials.create({ publicKey });
    await post("/v1/passkeys", {
      name: fields.name.value,
      client_data: text(response.clientDataJSON),
      attestation: text(response.attestationObject),
    });
    location.assign("/desk/sessions?done=passkey-added");
  };

  const signedIn = async (part) => {
    const passkey = await asked("/v1/sign-in/passkey/challenge");
    const body = { passkey };
    for (const name of ["role", "environment"]) {
      const chosen = part.closest("form")?.elements[name]?.value;
      if (chosen) body[name] = chosen;
    }
    await post("/v1/sign-in/passkey", body);
    location.assign("/desk");
  };

  // The answer goes with the form, in place of the password and the code.
  const proved = async (part) => {
    const form = part.closest("form");
    for (const name of ["password", "code"]) {
      form.elements[name].required = false;
      form.elements[name].value = "";
    }
    if (!form.reportValidity()) return;
    form.elements.passkey.value = btoa(JSON.stringify(await asked("/v1/passkeys/proof")));
    form.requestSubmit();
  };

  const attempt = async (part, work) => {
    const failed = part.querySelector("[role=alert]");
    failed.hidden = true;
    try {
      await work();
    } catch (error) {
      failed.textContent = error instanceof Refused && error.message ? error.message : failed.dataset.failed;
      failed.hidden = false;
    }
  };

  const works = { "sign-in": signedIn, prove: proved };
  document.querySelectorAll("[data-passkey]").forEach((part) => {
    part.hidden = false;
    if (part.dataset.passkey === "add") {
      part.addEventListener("submit", (event) => {
        event.preventDefault();
        attempt(part, () => made(part.elements));
      });
    } else {
      part.querySelector("button").addEventListener("click", () => attempt(part, () => works[part.dataset.passkey](part)));
    }
  });
})();
