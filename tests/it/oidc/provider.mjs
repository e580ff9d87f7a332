// A certified OpenID provider, for the tests: who signs in says by headers who they are and how they proved it.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [secret] = process.argv.slice(2);
let lethe = "http://127.0.0.1:9";
const KINDS = [
  ["RS256", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
  ["ES256", () => generateKeyPairSync("ec", { namedCurve: "P-256" })],
  ["EdDSA", () => generateKeyPairSync("ed25519")],
];
let provider;
let turn = 0;

const server = createServer(async (request, response) => {
  const { pathname: path, searchParams } = new URL(request.url, "http://here");
  try {
    if (path === "/serves") {
      lethe = searchParams.get("at");
      provider = begun();
      response.end();
    } else if (path === "/rotate") {
      turn += 1;
      provider = begun();
      response.end(KINDS[turn % KINDS.length][0]);
    } else if (path.startsWith("/interaction/")) {
      await interact(request, response);
    } else {
      await provider.callback()(request, response);
    }
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    response.end(String(error));
  }
});

async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  let result;
  if (prompt.name === "login") {
    const amr = (request.headers["x-amr"] ?? "").split(" ").filter(Boolean);
    result = { login: { accountId: request.headers["x-account"], amr, acr: request.headers["x-acr"] } };
  } else {
    const grant = (grantId && (await provider.Grant.find(grantId))) ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope("openid");
    grant.addOIDCClaims(prompt.details.missingOIDCClaims ?? []);
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: prompt.name !== "login" });
}

function begun() {
  const [alg, generate] = KINDS[turn % KINDS.length];
  const key = { ...generate().privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg };
  const made = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients: [{
      client_id: "lethe",
      client_secret: secret,
      redirect_uris: [`${lethe}/sign-in/provider/back`],
      post_logout_redirect_uris: [`${lethe}/sign-in`],
      backchannel_logout_uri: `${lethe}/oidc/acme/back-channel-logout`,
      backchannel_logout_session_required: true,
      id_token_signed_response_alg: alg,
      token_endpoint_auth_method: "client_secret_basic",
    }],
    jwks: { keys: [key] },
    cookies: { keys: ["only for tests"] },
    claims: { openid: ["sub", "amr", "acr"], sid: null, auth_time: null, iss: null },
    acrValues: ["urn:two", "urn:one"],
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    // By itself it tells nobody on this machine that somebody left: an address of loopback could be anybody's.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, sub) => ({ accountId: sub, claims: async () => ({ sub }) }),
  });
  made.on("server_error", (_, error) => console.error(error));
  made.on("backchannel.error", (_, error) => console.error(error));
  return made;
}

server.listen(0, "127.0.0.1", () => {
  provider = begun();
  console.log(server.address().port);
});
