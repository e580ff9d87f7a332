// Drives emmett-postgresql: reads what to do from stdin, one JSON object a line, and answers each with a line of its own.
import { getPostgreSQLEventStore } from "@event-driven-io/emmett-postgresql";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import pg from "pg";

const NONCE = 12;
const TAG = 16;
// As many connections as there may be clients.
const CONNECTIONS = 64;

// AES-256-GCM: nonce, ciphertext, tag; the person's id is authenticated with it. JSON holds no bytes: base64.
function seal(key, person, text) {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(person));
  return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]).toString("base64");
}

function open(key, person, sealed) {
  const bytes = Buffer.from(sealed, "base64");
  const cipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE)).setAAD(Buffer.from(person));
  cipher.setAuthTag(bytes.subarray(bytes.length - TAG));
  return cipher.update(bytes.subarray(NONCE, bytes.length - TAG), undefined, "utf8") + cipher.final("utf8");
}

const stream = (person) => `participant-${person}`;

class Store {
  constructor(url, people, text) {
    this.pool = new pg.Pool({ connectionString: url, max: CONNECTIONS });
    this.store = getPostgreSQLEventStore(url, { connectionOptions: { pool: this.pool } });
    this.people = people.map(([id, key]) => ({ id, key: Buffer.from(key, "hex"), at: 0n }));
    this.text = text;
  }

  async write(person, text) {
    const event = { type: "Saved", data: { sealed: seal(person.key, person.id, text) } };
    // Of a stream that is not there the version is 0.
    const done = await this.store.appendToStream(stream(person.id), [event], { expectedStreamVersion: person.at });
    person.at = done.nextExpectedStreamVersion;
  }

  // Each client has people of its own, so that no two write to the same one; its next commit once the last is durable.
  async append(clients, commits) {
    let next = 0;
    const times = [];
    const begun = performance.now();
    const client = async (number) => {
      const people = this.people.filter((_, at) => at % clients === number);
      for (let at = 0; next < commits; at += 1) {
        next += 1;
        const began = performance.now();
        await this.write(people[at % people.length], this.text);
        times.push(performance.now() - began);
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
    const seconds = (performance.now() - begun) / 1000;
    times.sort((one, other) => one - other);
    const rank = (share) => times[Math.max(1, Math.ceil(times.length * share)) - 1] ?? 0;
    return { seconds, commits: times.length, p50_ms: rank(0.5), p99_ms: rank(0.99) };
  }

  async read(person, key) {
    try {
      const { events } = await this.store.readStream(stream(person));
      return { texts: events.map((event) => open(Buffer.from(key, "hex"), person, event.data.sealed)) };
    } catch (fault) {
      return { texts: [], fault: String(fault) };
    }
  }

  async answer(ask) {
    switch (ask.do) {
      case "append":
        return this.append(ask.clients, ask.commits);
      case "write":
        await this.write(this.people[ask.person], ask.text);
        return {};
      case "read":
        return this.read(ask.person, ask.key);
      default:
        throw new Error(`what is ${ask.do}?`);
    }
  }
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
let store;
for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  if (store) {
    say(await store.answer(ask));
  } else {
    store = new Store(ask.url, ask.people, ask.text);
    await store.store.schema.migrate();
    say({ ready: true });
  }
}
await store?.store.close();
await store?.pool.end();
