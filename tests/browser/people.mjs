// Who sits at the desk: a browser context each, with an authenticator.
import { createHmac } from "node:crypto";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const PASSWORD = "a long enough password for a demo";

function bytes(base32) {
  const bits = [...base32.replace(/=+$/, "")].map((letter) => LETTERS.indexOf(letter).toString(2).padStart(5, "0")).join("");
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
}

// RFC 6238: SHA-1, six digits, thirty seconds.
export function code(secret, step) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const hash = createHmac("sha1", bytes(secret)).update(counter).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

export class Person {
  constructor(login) {
    Object.assign(this, { login, password: PASSWORD, used: 0 });
  }

  // Each code counts once. The next one is taken as early as the platform takes it: one step ahead of its clock.
  async code() {
    const now = () => Math.floor(Date.now() / 30_000);
    const step = Math.max(now(), this.used + 1);
    while (step > now() + 1) await new Promise((go) => setTimeout(go, 500));
    this.used = step;
    return code(this.secret, step);
  }

  // Opens an account by a link, on the page where the link leads.
  async join(page, name) {
    await page.waitForSelector("#secret");
    this.secret = (await page.textContent("#secret")).trim();
    if (await page.$("#name")) await page.fill("#name", name);
    await page.fill("#login", this.login);
    await page.fill("#password", this.password);
    await page.fill("#again", this.password);
    await page.fill("#code", await this.code());
    await page.click("button.main");
    await page.waitForSelector(".codes");
  }
}
