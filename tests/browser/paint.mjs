// How soon a browser paints the overview of a large study: first in a process that has counted nothing yet, then again and again.
import { chromium } from "playwright-core";
import { code } from "./people.mjs";

const { BASE, TOKEN, CHROMIUM } = process.env;
const ROUNDS = 15;

async function api(path, body, token) {
  const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(`${BASE}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const right = { role: "data-manager", environment: "TEST", organisation: "own", sites: "all" };
const { link } = await api("/v1/users", { name: "A reader", right }, TOKEN);
const { one_time_secret: secret } = await api("/v1/links/look", { link });
const shown = code(secret, Math.floor(Date.now() / 30_000));
const login = `reader-${Date.now()}`;
const { token: session } = await api("/v1/links/use", { link, login, password: "only for a benchmark", code: shown });

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1360, height: 850 } });
await context.addCookies([{ name: "lethe-session", value: session, url: BASE, httpOnly: true, sameSite: "Strict" }]);
const times = [];
for (let round = 0; round <= ROUNDS; round += 1) {
  const page = await context.newPage();
  await page.goto(`${BASE}/desk/studies/bench-1`);
  await page.waitForSelector("main svg.chart");
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  times.push(await page.evaluate(() => {
    const [navigation] = performance.getEntriesByType("navigation");
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    return { answered: navigation.responseEnd, painted: paint.startTime };
  }));
  await page.close();
}
await browser.close();
const [first, ...rest] = times;
const middle = (name) => rest.map((one) => one[name]).sort((a, b) => a - b)[Math.floor(rest.length / 2)];
const most = (name) => Math.max(...rest.map((one) => one[name]));
const line = (name, one) => console.log(`${name}: answered after ${one.answered.toFixed(0)} ms, first paint after ${one.painted.toFixed(0)} ms`);
line("the first page of a process", first);
line(`the median of ${ROUNDS} more`, { answered: middle("answered"), painted: middle("painted") });
line("the slowest of them", { answered: most("answered"), painted: most("painted") });
