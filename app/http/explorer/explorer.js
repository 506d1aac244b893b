// Scalar's reference, told where our document is, and a bar above it to log in once for all of it.
"use strict";

// Scalar's zod would try `new Function`, which the page's policy refuses and the console reports.
globalThis.__zod_globalConfig = { jitless: true };

const here = document.currentScript.src;
const place = (path) => new URL(`../../${path}`, here).href;
const KEPT = "bicameral-token"; // in this tab's storage: it goes when the tab goes

const [login, session, refusal] = ["login", "session", "refusal"].map((id) =>
  document.getElementById(id),
);

function configuration(token) {
  return {
    url: place("schema/openapi.json"),
    authentication: {
      preferredSecurityScheme: "bearer",
      securitySchemes: { bearer: { token } },
    },
    persistAuth: false,
    withDefaultFonts: false,
    telemetry: false,
    hideClientButton: true,
    showDeveloperTools: "never",
    agent: { disabled: true },
    mcp: { disabled: true },
    defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
    hiddenClients: { ruby: true, php: true },
  };
}

async function call(method, path, token, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  return fetch(place(path), { method, headers, body: body && JSON.stringify(body) });
}

function show(token, username) {
  login.hidden = Boolean(token);
  session.hidden = !token;
  document.getElementById("who").textContent = username;
  refusal.hidden = true;
}

async function start() {
  const token = sessionStorage.getItem(KEPT) ?? "";
  const reference = Scalar.createApiReference("#reference", configuration(token));
  const enter = async (fresh) => {
    const me = fresh ? await call("GET", "v1/me", fresh) : null;
    const known = me?.ok ? fresh : "";
    if (known) sessionStorage.setItem(KEPT, known);
    else sessionStorage.removeItem(KEPT);
    show(known, known ? (await me.json()).username : "");
    if (known !== token) reference.updateConfiguration(configuration(known));
  };
  login.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await call("POST", "v1/auth/login", "", Object.fromEntries(new FormData(login)));
    const said = await answer.json();
    if (answer.ok) {
      login.reset();
      await enter(said.access_token);
    } else {
      refusal.textContent = said.detail;
      refusal.hidden = false;
    }
  });
  session.addEventListener("submit", async (event) => {
    event.preventDefault();
    await call("POST", "v1/auth/logout", sessionStorage.getItem(KEPT));
    await enter("");
  });
  await enter(token);
}

document.addEventListener("DOMContentLoaded", start);
