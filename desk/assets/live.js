// Says that a study moved on. A page of figures fetches them anew; others offer it. Without scripts one loads the page again.
"use strict";

(() => {
  const note = document.querySelector("[data-live]");
  if (!note) return;
  let source, seen, fetching;

  const again = async () => {
    if (fetching) return;
    fetching = true;
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const page = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
    const [old, fresh] = [document.querySelector("#figures"), page && page.querySelector("#figures")];
    if (fresh) {
      const open = [...old.querySelectorAll("details")].map((one) => one.open);
      old.replaceChildren(...fresh.childNodes);
      old.querySelectorAll("details").forEach((one, at) => (one.open = Boolean(open[at])));
    }
    // A busy study is not asked more often than people read.
    setTimeout(() => (fetching = false), 3000);
  };

  const moved = () => {
    note.hidden = false;
    // Whoever reads a table just now keeps it.
    const reads = document.activeElement && document.activeElement.closest("#figures");
    if (document.querySelector("#figures") && !reads) again().then(() => (note.hidden = true));
  };

  // A session ends by itself when nobody works in it; a page that asks for news must not keep it open.
  const REST = 5 * 60_000;
  let worked = Date.now();
  const works = () => {
    worked = Date.now();
    if (source.readyState === EventSource.CLOSED && !document.hidden) follow();
  };
  ["pointermove", "keydown", "scroll"].forEach((kind) => addEventListener(kind, works, { passive: true }));
  setInterval(() => Date.now() - worked > REST && source.close(), 15_000);

  const follow = () => {
    source = new EventSource(note.dataset.live);
    source.addEventListener("position", (event) => {
      if (seen && seen !== event.data) moved();
      seen = event.data;
      document.documentElement.dataset.follows = seen;
    });
  };

  // A page that nobody sees holds no connection.
  document.addEventListener("visibilitychange", () => {
    source.close();
    if (!document.hidden) follow();
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && follow());
  follow();
})();
