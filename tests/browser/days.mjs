// The days of an administrator, a data manager, an investigator, a monitor, a data protection officer and an operator.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { Person } from "./people.mjs";

const { BASE, LINK, SHOTS, CHROMIUM } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const STUDY = `${BASE}/desk/studies/cardio-1`;
const faults = [];
const seen = [];
let shots = 0;

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });

// A context of its own for each person: own cookies, own console. Whatever a console calls an error is a fault.
async function desk(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, baseURL: BASE, ...options });
  context.setDefaultTimeout(20_000);
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    // A refusal that is shown in words is no fault of the page: the browser notes its status.
    const refusal = message.text().includes("the server responded with a status of 4");
    if (message.type() === "error" && !refusal) faults.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(options.baseURL ?? BASE) && !request.url().startsWith("data:")) faults.push(`${page.url()} loads ${request.url()}`);
  });
  return page;
}

// Looks at a page: nothing that axe finds, in light and in dark, and a picture of each.
async function look(page, name) {
  shots += 1;
  const number = String(shots).padStart(2, "0");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(AXE);
    const found = await page.evaluate((values) => window.axe.run({ runOnly: { type: "tag", values } }), RULES);
    for (const violation of found.violations) {
      for (const node of violation.nodes) faults.push(`${name} (${colorScheme}): ${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`);
    }
    await page.screenshot({ path: `${SHOTS}/${number}-${name}-${colorScheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
  seen.push(name);
}

async function title(page) {
  return (await page.textContent("h1")).trim();
}

// An account by a link that the administrator's page shows.
async function invited(admin, role, name, login, sites = "") {
  await admin.goto("/desk/users");
  await admin.fill("#name", name);
  await admin.selectOption("#role", role);
  await admin.selectOption("#environment", "TEST");
  await admin.fill("#sites", sites);
  await admin.click("form.grid button.main");
  const link = (await admin.textContent("#link")).trim();
  assert.match(link, /\/join#lethel_demo_/);
  const [page, person] = [await desk(), new Person(login)];
  await page.goto(link);
  await person.join(page, name);
  await page.click("a.button.main");
  await page.waitForURL(/\/desk(\/operations)?$/);
  return { page, person };
}

console.log("an administrator joins by the printed link");
const admin = await desk();
const ada = new Person("ada");
await admin.goto("/sign-in");
await look(admin, "sign-in");
await admin.goto("/join");
await look(admin, "join");
await admin.goto(LINK);
await admin.waitForSelector("#secret");
assert.ok(!admin.url().includes("#"), "the secret is out of the address bar");
await look(admin, "join-open");
await ada.join(admin, "Ada Admin");
assert.equal(await admin.locator(".codes li").count(), 10);
await look(admin, "recovery-codes");
await admin.click("a.button.main");
await admin.waitForURL("**/desk");

console.log("a link counts once");
const late = await desk();
await late.goto(LINK);
await late.waitForSelector("[role=alert]");
await late.context().close();

console.log("she invites five people");
const dana = await invited(admin, "data-manager", "Dana Data", "dana");
const ivo = await invited(admin, "investigator", "Ivo Investigator", "ivo");
const mona = await invited(admin, "monitor", "Mona Monitor", "mona");
const dora = await invited(admin, "dpo", "Dora Dpo", "dora");
const otto = await invited(admin, "operator", "Otto Operator", "otto");
await admin.goto("/desk/users");
assert.equal(await admin.locator("tbody tr").count() >= 5, true);
await look(admin, "people");
await admin.goto("/desk/users/review");
assert.ok(await admin.locator("tbody tr").count() >= 5);
await admin.fill("#finding", "All rights are needed.");
await admin.click("section.card button.main");
await admin.waitForURL("**done=review**");
assert.match(await admin.textContent("main"), /All rights are needed/);
await look(admin, "access-review");
await admin.goto("/desk/sessions");
await look(admin, "sessions");

console.log("a data manager's day");
{
  const { page } = dana;
  await look(page, "studies");
  await page.click("tbody a");
  await page.waitForURL(STUDY);
  assert.match(await title(page), /CARDIO-1/);
  assert.equal(await page.locator("svg.chart").count(), 9);
  await look(page, "overview");
  await page.goto(`${STUDY}/matrix`);
  assert.ok(await page.locator("table.matrix tbody tr").count() >= 20);
  await look(page, "matrix");
  await page.click("table.matrix tbody tr:nth-child(2) th a");
  await page.waitForSelector("section.form");
  await look(page, "casebook");
  await page.click("section.form tbody tr:first-child td:last-child a");
  await page.waitForSelector("#panel .history li");
  await look(page, "history");
  await page.click("section.form details.inline summary");
  await page.fill("section.form details[open] textarea", "Please compare with the source.");
  await page.click("section.form details[open] button.main");
  await page.waitForSelector(".note.good");
  await page.goto(`${STUDY}/queries`);
  assert.match(await page.textContent(".threads"), /Please compare with the source/);
  await look(page, "queries");
  await page.goto(`${STUDY}/audit`);
  assert.ok(await page.locator("tbody tr").count() >= 50);
  await look(page, "audit");
  await page.click("main a.button[href$='/audit/review']");
  await page.waitForSelector("#finding");
  await look(page, "trail-review");
  await page.fill("#finding", "Looked through; the late entries are known to the site.");
  await page.click("button.main");
  await page.waitForURL("**done=review**");
  assert.match(await page.textContent("main"), /the late entries are known/);
  await look(page, "trail-reviewed");
  await page.goto(`${STUDY}/designs`);
  assert.ok(await page.locator("tbody tr").count() >= 1);
  await look(page, "designs");
  await page.goto(`${STUDY}/sites`);
  assert.ok(await page.locator("tbody tr").count() >= 1);
  await look(page, "sites");
  const denied = await page.goto("/desk/privacy");
  assert.equal(denied.status(), 403, "a data manager has no place at the privacy desk");
  await look(page, "refused");
}

console.log("an investigator's day, while the data manager keeps an overview open");
const open = dana.page;
await open.goto(STUDY);
await open.waitForFunction(() => document.documentElement.dataset.follows);
const before = await open.evaluate(() => document.documentElement.dataset.follows);
{
  const { page } = ivo;
  await page.goto(`${STUDY}/matrix`);
  await page.click("table.matrix tbody tr:nth-child(2) th a");
  await look(page, "asked");
  await page.fill(".asked input[name=text]", "Compared: it is so.");
  await page.click(".asked button[value=answer-query]");
  await page.waitForURL("**/participants/**done=query**");
  assert.match(await page.textContent(".asked"), /Compared: it is so/);
  await page.goto(`${STUDY}/matrix`);
  await page.click("table.matrix tbody tr:nth-child(3) th a");
  await page.click("section.form h2 a.button");
  await page.waitForSelector("form.entry");
  const [first, reason] = [page.locator(".field input[inputmode=decimal]").first(), page.locator("#reason")];
  await first.fill("many");
  await first.blur();
  await page.waitForSelector("#checks .note");
  await look(page, "entry-checked");
  await first.fill("131");
  await reason.fill("misread");
  await page.click("form.entry button.main");
  await page.waitForSelector(".note.good");
  assert.match(await page.textContent("section.form"), /131/);
  await open.waitForFunction((seen) => document.documentElement.dataset.follows !== seen, before);
  await page.click("#visits details:first-of-type summary");
  await page.fill("#start-on", "2026-01-15");
  await page.fill("#start-reason", "the source says so");
  await look(page, "visit");
  await page.click("#visits details[open] button.main");
  await page.waitForURL("**done=act**");
  assert.match(await page.textContent("#visits"), /2026-01-15/);
  await page.locator("section.form h2 a.button").first().click();
  await page.waitForSelector("form.entry");
  await page.locator("select.not-done").last().selectOption("not-done");
  await page.fill("#reason", "could not be measured");
  await look(page, "entry-not-done");
  await page.click("form.entry button.main");
  await page.waitForSelector(".note.good");
  assert.match(await page.textContent("section.form"), /not done/);
  const complete = page.locator("button", { hasText: "Complete" }).first();
  if (await complete.count()) {
    await complete.click();
    await page.waitForURL("**done=act**");
  }
  const section = page.locator("section.form", { has: page.locator("summary", { hasText: /^Sign/ }) }).first();
  await section.locator("summary", { hasText: /^Sign/ }).click();
  await section.locator("input[name=password]").fill(ivo.person.password);
  await section.locator("input[name=code]").fill(await ivo.person.code());
  await section.locator("button", { hasText: /^Sign/ }).click();
  await page.waitForSelector(".signature");
  await look(page, "signed");
}

console.log("an investigator with a passkey: adds it, comes in and signs by it alone");
{
  // A browser binds passkeys to names of hosts: this machine's is localhost.
  const base = BASE.replace("127.0.0.1", "localhost");
  await admin.goto("/desk/users");
  await admin.fill("#name", "Pia Passkey");
  await admin.selectOption("#role", "investigator");
  await admin.selectOption("#environment", "TEST");
  await admin.click("form.grid button.main");
  const link = (await admin.textContent("#link")).trim().replace("127.0.0.1", "localhost");
  const [page, pia] = [await desk({ baseURL: base }), new Person("pia")];
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", { options });
  await page.goto(link);
  await pia.join(page);
  await page.click("a.button.main");
  await page.waitForURL("**/desk");
  await page.goto("/desk/sessions");
  const add = async (password) => {
    await page.fill("#passkey-name", "Laptop of the ward");
    await page.fill("#passkey-password", password);
    await page.fill("#passkey-code", await pia.code());
    await page.click("form[data-passkey=add] button");
  };
  await add("not the password");
  await page.waitForSelector("form[data-passkey=add] [role=alert]:not([hidden])");
  await look(page, "passkey-refused");
  await add(pia.password);
  await page.waitForSelector("#passkeys tbody tr");
  assert.match(await page.textContent("#passkeys"), /Laptop of the ward/);
  const { credentials } = await devtools.send("WebAuthn.getCredentials", { authenticatorId });
  assert.deepEqual(credentials.map((one) => [one.isResidentCredential, one.rpId]), [[true, "localhost"]]);
  await look(page, "passkeys");
  const enter = async () => {
    await page.locator("button", { hasText: "Sign out" }).click();
    await page.waitForURL("**/sign-in**");
    await page.locator("[data-passkey=sign-in] button").click();
  };
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await enter();
  await page.waitForSelector("[data-passkey=sign-in] [role=alert]:not([hidden])");
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  await look(page, "sign-in-passkey");
  await page.locator("[data-passkey=sign-in] button").click();
  await page.waitForURL("**/desk");
  await page.goto(`${base}/desk/studies/cardio-1/matrix`);
  await page.click("table.matrix tbody tr:nth-child(5) th a");
  await page.waitForSelector("section.form");
  const complete = page.locator("button", { hasText: "Complete" }).first();
  if (await complete.count()) {
    await complete.click();
    await page.waitForURL("**done=act**");
  }
  const signatures = await page.locator(".signature").count();
  const section = page.locator("section.form", { has: page.locator("summary", { hasText: /^Sign/ }) }).first();
  await section.locator("summary", { hasText: /^Sign/ }).click();
  await section.locator("[data-passkey=prove] button").click();
  await page.waitForURL("**done=act**");
  await page.waitForFunction((before) => document.querySelectorAll(".signature").length > before, signatures);
  await look(page, "signed-by-passkey");
  await page.goto("/desk/sessions");
  await page.click("#passkeys button");
  await page.waitForSelector(".note.good");
  assert.equal(await page.locator("#passkeys").count(), 0);
  await enter();
  await page.waitForSelector("[data-passkey=sign-in] [role=alert]:not([hidden])");
  assert.ok(page.url().includes("/sign-in"), "a passkey that was removed opens nothing");
  await page.context().close();
}

console.log("a monitor's day");
{
  const { page } = mona;
  await page.goto(`${STUDY}/matrix`);
  await page.click("table.matrix tbody tr:nth-child(3) th a");
  await page.locator("button", { hasText: "Verified" }).first().click();
  await page.waitForURL("**done=act**");
  await page.goto(`${STUDY}/queries?state=answered`);
  await look(page, "answered");
}

console.log("the data manager reviews what they did");
{
  const { page } = dana;
  await page.goto(`${STUDY}/queries?state=answered`);
  await page.fill(".thread textarea", "Agreed.");
  await page.click(".thread button[value=close-query]");
  await page.waitForURL("**done=query**");
  await page.goto(`${STUDY}/audit/review?often=1&late_days=1`);
  assert.match(await page.textContent("main"), /changed often/);
  await look(page, "trail-unusual");
}

console.log("a data protection officer's day, without scripts");
let erasure;
{
  const storage = await dora.page.context().storageState();
  await look(dora.page, "dpo-studies");
  await dora.page.goto("/desk/privacy");
  await look(dora.page, "privacy");
  await dora.page.goto("/desk/data-map");
  await look(dora.page, "data-map");
  const none = await dora.page.goto(`${STUDY}/matrix`);
  assert.equal(none.status(), 403, "no clinical page for a DPO");
  await dora.page.goto(`${STUDY}/participants`);
  await dora.page.click("tbody tr:nth-child(2) td:last-child a");
  await dora.page.click("p.tools a[href$='/access']");
  assert.ok(await dora.page.locator("tbody tr").count() >= 1, "somebody has looked");
  await look(dora.page, "who-has-looked");
  await dora.page.goto("/desk/incidents");
  assert.equal(await dora.page.locator("tbody tr").count(), 0, "an ordinary day is no incident");
  await look(dora.page, "incidents");
  const page = await desk({ javaScriptEnabled: false, storageState: storage });
  await page.goto(`${STUDY}/participants`);
  await page.click("tbody tr:nth-child(4) td:last-child a");
  await page.check("input[value='identity.contact']");
  await page.check("input[value='health.free-text']");
  await page.fill("#reason", "Withdrew, and asked to be forgotten.");
  await page.screenshot({ path: `${SHOTS}/ask-without-scripts.png`, fullPage: true });
  await page.click("button.main");
  await page.waitForURL("**/desk/erasures/*");
  erasure = new URL(page.url()).pathname;
  assert.match(await page.textContent("main"), /name and contact/);
  assert.equal(await page.locator("form input[name=typed]").count(), 0, "who asked does not approve");
  await dora.page.goto(erasure);
  await look(dora.page, "erasure-asked");
}

console.log("the controller approves it, signed in by keyboard, without scripts");
{
  await admin.locator("button", { hasText: "Sign out" }).click();
  await admin.waitForURL("**/sign-in**");
  await admin.waitForSelector(".note.good");
  const page = await desk({ javaScriptEnabled: false });
  await page.goto("/sign-in");
  const keys = page.keyboard;
  await page.focus("body");
  await keys.press("Tab");
  const focused = () => page.locator(":focus");
  await page.focus("#tenant");
  await keys.type("demo");
  for (const text of ["ada", ada.password, await ada.code()]) {
    await keys.press("Tab");
    await keys.type(text);
  }
  await keys.press("Tab");
  await keys.press("Enter");
  await keys.press("Tab");
  await keys.press("Tab");
  assert.equal(await focused().getAttribute("id"), "environment");
  await keys.type("TEST");
  await keys.press("Tab");
  await keys.press("Tab");
  await keys.press("Enter");
  await page.waitForURL("**/desk");
  assert.match(await page.textContent(".whoami"), /TEST/);
  await page.goto(erasure);
  await page.screenshot({ path: `${SHOTS}/approve-without-scripts.png`, fullPage: true });
  assert.match(await page.textContent("main"), /What it touches, counted now/);
  const number = (await page.textContent("label[for=typed] strong")).trim();
  const fill = async (typed) => {
    await page.fill("#instruction", "INS-2026-007");
    const single = page.locator("input[name=accept_single_copy]");
    if (await single.count()) await single.check();
    await page.fill("#typed", typed);
    await page.fill("#password", ada.password);
    await page.fill("#code", await ada.code());
    await page.click("button.bad");
  };
  await fill(`${number}x`);
  await page.waitForSelector("[role=alert]");
  assert.match(await page.textContent("#progress"), /approval/, "nothing was done");
  await dora.page.goto(erasure);
  await fill(number);
  // Without scripts the page looks again by itself.
  await page.locator("#progress .chip.ok").waitFor({ timeout: 90_000 });
  assert.match(await page.textContent("#progress"), /Completed/);
  await page.screenshot({ path: `${SHOTS}/approved-without-scripts.png`, fullPage: true });
  const followed = dora.page.locator("#progress .chip.ok");
  await followed.waitFor({ timeout: 90_000 });
  // The whole page is fetched anew when it is over, and follows nothing any more.
  await dora.page.waitForFunction(() => !document.querySelector("[data-follow]"));
  await look(dora.page, "erasure-completed");
  await dora.page.click("#progress a.button.main");
  await dora.page.waitForSelector("h1");
  await dora.page.screenshot({ path: `${SHOTS}/certificate.png`, fullPage: true });
  await dora.page.goto("/desk/privacy");
  await look(dora.page, "register");
  for (const [name, path] of [["register", "/desk/privacy"], ["erasure", erasure], ["data-map", "/desk/data-map"]]) {
    await dora.page.goto(path);
    const sheet = await dora.page.pdf({ path: `${SHOTS}/${name}.pdf` });
    assert.ok(sheet.length > 1000);
  }
  await open.goto(STUDY);
  await open.pdf({ path: `${SHOTS}/overview.pdf` });
}

console.log("an operator's day");
{
  const { page, person } = otto;
  assert.ok(page.url().endsWith("/desk/operations"), "an operator begins at health");
  await page.waitForSelector("dl.keys");
  assert.equal(await page.locator("svg.chart").count(), 2);
  await look(page, "operations");
  await page.goto("/desk/operations/projections");
  const served = (name) => page.locator("#live tbody tr", { has: page.locator(`th code:text-is("${name}")`) }).locator("td:nth-child(3)");
  const before = Number(await served("casebook").textContent());
  await page.selectOption("#projection", "casebook");
  await page.fill("#typed", "casebok");
  await page.click("button.bad");
  await page.waitForSelector("[role=alert]");
  assert.equal(Number(await served("casebook").textContent()), before, "nothing was built");
  await page.selectOption("#projection", "casebook");
  await page.fill("#typed", "casebook");
  await page.click("button.bad");
  // The page follows by itself until the new table serves.
  await page.waitForFunction(() => [...document.querySelectorAll("#live .way")].some((way) => way.querySelectorAll("li.done").length === 5), null, { timeout: 60_000 });
  assert.equal(Number(await served("casebook").textContent()), before + 1);
  await look(page, "projections");
  await page.goto("/desk/operations/standstills");
  assert.match(await page.textContent("main"), /Everything goes on/);
  await look(page, "standstills");
  await page.goto("/desk/operations/journals");
  await look(page, "journals");
  await page.locator("tbody a", { hasText: "cardio-1" }).click();
  await page.click("tbody a:text-is('participant')");
  await page.waitForSelector(".scroll.tall");
  await look(page, "journal");
  await page.goto("/desk/operations/journals/cardio-1");
  await page.locator("tbody tr", { hasText: "items-saved" }).first().locator("th a").click();
  assert.equal(await page.locator("pre").count(), 0, "sealed");
  await look(page, "commit-sealed");
  await page.selectOption("#reason", "fault");
  await page.fill("#password", person.password);
  await page.fill("#code", await person.code());
  await page.click("button.bad");
  await page.waitForSelector("pre");
  // Wherever a value stands in the record, its scope and part stand here, and nothing else.
  const places = [];
  const walk = (node) => {
    if (node?.$personal) places.push(node.$personal);
    else if (node && typeof node === "object") Object.values(node).forEach(walk);
  };
  (await page.locator("pre").allTextContents()).forEach((text) => walk(JSON.parse(text)));
  assert.ok(places.length > 0);
  for (const place of places) assert.deepEqual(Object.keys(place).sort(), ["part", "scope"], "structure alone");
  await look(page, "commit-opened");
  for (const [path, name] of [["keys", "keys"], ["backups", "backups"], ["sign-ins", "sign-ins"]]) {
    await page.goto(`/desk/operations/${path}`);
    await look(page, name);
  }
  assert.doesNotMatch(await page.textContent("main"), /Otto Operator|Ada Admin/, "no name of anybody");
  const denied = await page.goto(STUDY);
  assert.equal(denied.status(), 403, "no study for an operator");
}

for (const { page } of [dana, ivo, mona, dora, otto]) {
  await page.goto("/desk");
  await page.locator("button", { hasText: "Sign out" }).click();
  await page.waitForURL("**/sign-in**");
  const gone = await page.goto("/desk");
  assert.ok(page.url().endsWith("/sign-in"), `no page without a session: ${gone.url()}`);
}
await browser.close();
console.log(`${seen.length} pages looked at in light and dark`);
for (const fault of faults) console.error(fault);
assert.equal(faults.length, 0, "no fault in any console, none that axe finds");
