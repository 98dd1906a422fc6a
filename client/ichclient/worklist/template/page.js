"use strict";
{
  const EVERY_MS = 2000;
  const PATIENCE_MS = 10000;
  const list = document.getElementById("list");
  const search = document.getElementById("search");
  const words = document.getElementById("words");
  const news = document.getElementById("news"); // for those who cannot see it change
  const alarm = document.getElementById("alarm");
  const studies = () => [...list.querySelectorAll(".study")];
  const clock = (date) => date.toLocaleTimeString("en-GB");

  let tag = list.dataset.tag;
  let known = new Set(studies().map((study) => study.id));
  let asOf = new Date();
  let waiting = null; // a newer list, until the pointer is up again
  let isDown = false;
  let timer = 0;
  let isAsking = false;

  const filter = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const study of studies()) {
      const parts = [...study.querySelectorAll(".find")].map((part) => part.textContent);
      const text = parts.join(" ").toLowerCase();
      study.hidden = !wanted.every((word) => text.includes(word));
      shown += study.hidden ? 0 : 1;
    }
    list.classList.toggle("searched", wanted.length > 0);
    for (const part of list.querySelectorAll("details")) {
      part.hidden = !part.querySelector(".study:not([hidden])");
      if (wanted.length) part.open = true;
    }
    list.querySelector(".none-found").hidden = !wanted.length || shown > 0;
  };

  const show = (html) => {
    if (isDown || String(getSelection()).trim()) {
      waiting = html;
      return;
    }
    waiting = null;
    const open = [...list.querySelectorAll("details[open]")].map((part) => part.id);
    const focused = document.activeElement.closest(".study");
    const kind = focused && document.activeElement.tagName;
    list.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    const fresh = studies().filter((study) => !known.has(study.id));
    for (const study of fresh) study.classList.add("fresh");
    if (fresh.length) news.textContent = fresh.length === 1 ? "1 new study" : `${fresh.length} new studies`;
    known = new Set(studies().map((study) => study.id));
    filter();
    if (focused) document.getElementById(focused.id)?.querySelector(kind)?.focus({ preventScroll: true });
  };

  const lost = (why) => {
    document.body.classList.add("lost");
    words.textContent = "not connected";
    alarm.textContent = `${why} This list is as of ${clock(asOf)}; newer studies are not on it.`;
    alarm.hidden = false;
  };

  const found = (answer) => {
    const date = new Date(answer.headers.get("Date"));
    asOf = Number.isNaN(date.getTime()) ? new Date() : date;
    words.textContent = `as of ${clock(asOf)}`;
    document.body.classList.remove("lost");
    alarm.hidden = true;
  };

  const ask = async () => {
    clearTimeout(timer);
    if (isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch("/list", {
        headers: { "If-None-Match": tag }, cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (answer.status === 401) {
        location.replace("/");
        return;
      }
      if (answer.status === 200) {
        const html = await answer.text();
        tag = answer.headers.get("ETag");
        show(html);
        found(answer);
      } else if (answer.status === 304) {
        found(answer);
      } else {
        lost(`The work list's server answers ${answer.status}.`);
      }
    } catch {
      lost("The work list's server does not answer.");
    } finally {
      isAsking = false;
      timer = setTimeout(ask, EVERY_MS);
    }
  };

  const released = () => {
    isDown = false;
    setTimeout(() => { if (waiting !== null) show(waiting); }, 0);
  };

  list.addEventListener("pointerdown", () => { isDown = true; });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, released);
  document.addEventListener("selectionchange", () => { if (waiting !== null) show(waiting); });
  search.addEventListener("input", filter);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input")) return;
    event.preventDefault();
    search.focus();
  });
  list.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    try {
      const answer = await fetch(event.target.action, {
        method: "POST", body: new URLSearchParams({ read: button.value }),
        headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!answer.ok) lost(`The mark was not taken: ${await answer.text()}`);
      else await ask();
    } catch {
      lost("The mark was not taken: the work list's server does not answer.");
    } finally {
      button.disabled = false;
    }
  });
  for (const name of ["online", "pageshow"]) addEventListener(name, ask);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  filter();
}
