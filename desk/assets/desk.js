// What a page does beyond its links and forms. Everything works without it.
"use strict";

// A link's secret stands behind the "#", which no browser sends: into the form with it, and out of the address bar.
const fromHash = () => {
  const form = document.querySelector("form[data-from-hash]");
  const secret = location.hash.slice(1);
  if (!form || !secret.startsWith("lethel_")) return;
  history.replaceState(null, "", location.pathname);
  form.elements[form.dataset.fromHash].value = secret;
  form.requestSubmit();
};
addEventListener("hashchange", fromHash);
fromHash();

// A page about the platform is followed while somebody is there: a page left alone keeps nobody signed in.
const ALONE = 10 * 60 * 1000;
document.querySelectorAll("[data-live]").forEach((part) => {
  const source = new EventSource(part.dataset.live);
  let [touched, busy, news] = [Date.now(), false, false];
  ["pointermove", "keydown", "scroll"].forEach((name) => addEventListener(name, () => { touched = Date.now(); }, { passive: true }));
  const again = async () => {
    const answer = await fetch(part.dataset.part, { credentials: "same-origin", redirect: "error" }).catch(() => null);
    if (!answer || !answer.ok) return source.close();
    const text = await answer.text();
    // What is being read in there stays as it is.
    if (part.contains(document.activeElement) && document.activeElement.closest(".scroll")) return;
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    part.innerHTML = text;
    part.querySelectorAll("details").forEach((details, at) => { details.open = open[at] ?? false; });
  };
  source.addEventListener("operations", async () => {
    if (Date.now() - touched > ALONE) return source.close();
    news = true;
    if (busy) return;
    busy = true;
    while (news) {
      news = false;
      await again();
    }
    busy = false;
  });
});

// An erasure is followed as it goes on: the API says when something changed, the part of the page is fetched anew.
document.querySelectorAll("[data-follow]").forEach((part) => {
  const source = new EventSource(part.dataset.follow);
  const again = async () => {
    const answer = await fetch(part.dataset.part, { credentials: "same-origin" });
    if (answer.ok) part.innerHTML = await answer.text();
  };
  source.addEventListener("erasure", async (event) => {
    await again();
    const { phase } = JSON.parse(event.data);
    if (phase !== "completed" && phase !== "refused") return;
    source.close();
    // What else the page says about it is over, too.
    location.replace(location.pathname);
  });
});
