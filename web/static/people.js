// Codes from a sheet's QR code, and passkeys. Everything else works without it.
"use strict";

// The code stands behind the "#", which browsers send to nobody. It goes into the field and
// out of the address, so that it stays in no history.
const enrol = document.querySelector("form[data-enrol]");
if (enrol && location.hash.length > 1) {
  enrol.elements.code.value = decodeURIComponent(location.hash.slice(1)).slice(0, 60);
  history.replaceState(null, "", location.pathname);
  enrol.querySelector("button").focus();
}

const bytesOf = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const textOf = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// post sends JSON with the visitor's token and returns the answer's JSON.
async function post(path, body) {
  const headers = { "Content-Type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const kind = answer.headers.get("Content-Type") || "";
  if (!kind.startsWith("application/json")) throw new Error(String(answer.status));
  return answer.json();
}

// What WebAuthn wants as bytes comes as base64url.
function unpack(options) {
  options.challenge = bytesOf(options.challenge);
  if (options.user) options.user.id = bytesOf(options.user.id);
  for (const list of [options.excludeCredentials, options.allowCredentials]) {
    for (const one of list || []) one.id = bytesOf(one.id);
  }
  return options;
}

function pack(credential) {
  const response = { clientDataJSON: textOf(credential.response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = textOf(credential.response[name]);
  }
  if (credential.response.getTransports) response.transports = credential.response.getTransports();
  return { id: credential.id, rawId: textOf(credential.rawId), type: credential.type, response,
    authenticatorAttachment: credential.authenticatorAttachment || undefined, clientExtensionResults: credential.getClientExtensionResults() };
}

async function ceremony(button) {
  const making = button.dataset.passkey === "create";
  const path = making ? "/enrol/passkey/" : "/login/passkey/";
  const begun = await post(path + "begin", {});
  if (!begun.options) return begun;
  const publicKey = unpack(begun.options);
  const credential = making ? await navigator.credentials.create({ publicKey }) : await navigator.credentials.get({ publicKey });
  const label = document.querySelector("[data-passkey-label]");
  return post(path + "finish", { name: begun.name, label: label ? label.value : "", to: button.dataset.to || "", response: pack(credential) });
}

if (window.PublicKeyCredential) {
  for (const part of document.querySelectorAll("[data-passkey-part]")) part.hidden = false;
  for (const button of document.querySelectorAll("[data-passkey]")) {
    button.addEventListener("click", async () => {
      const wrong = button.closest("[data-passkey-part]").querySelector("[data-passkey-wrong]");
      wrong.hidden = true;
      button.disabled = true;
      let end = {};
      try {
        end = await ceremony(button);
      } catch (e) {
        end = { error: wrong.dataset.passkeyWrong };
      }
      if (end.to) {
        location.assign(end.to);
        return;
      }
      wrong.textContent = end.error || wrong.dataset.passkeyWrong;
      wrong.hidden = false;
      button.disabled = false;
    });
  }
}
