// What pages do beyond links and forms: stay fresh, copy, ask before what cannot be undone. All works without it.
"use strict";
(() => {
  const POLL_SECONDS = 5;
  // What is told as "8 seconds ago" must not stand still.
  const AGAIN_SECONDS = 10;
  const PAUSED = "tracker-paused";
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

  // Fresh: the server says that something changed, and what lives on the page is asked for again.
  const address = document.body.dataset.live;
  const isLive = address && document.getElementById("live");
  const button = document.querySelector("[data-live-switch]");
  const words = document.querySelector("[data-live-words]");
  let stream = null;
  let poll = null;
  let again = null;
  let isPaused = sessionStorage.getItem(PAUSED) === "yes";

  // Nobody's choice is taken away under their fingers.
  const isBusy = () => document.querySelector("#live input:checked, #live details[open] input:focus, #live textarea:focus");
  let isMissed = false;
  const refresh = () => {
    if (isPaused || document.hidden) return;
    isMissed = Boolean(isBusy());
    if (!isMissed) document.body.dispatchEvent(new CustomEvent("changed"));
  };
  const show = (state) => {
    if (!button) return;
    button.dataset.state = state;
    button.setAttribute("aria-pressed", String(state !== "off"));
    words.textContent = words.dataset[state];
  };
  const close = () => {
    if (stream) stream.close();
    stream = null;
    clearInterval(poll);
    clearInterval(again);
    poll = null;
  };
  // Asks now and then while there is no stream. The browser opens it again by itself, unless the answer was no stream at all.
  const askNowAndThen = () => {
    show("away");
    poll = poll || setInterval(() => {
      if (stream.readyState === EventSource.CLOSED) listen();
      refresh();
    }, POLL_SECONDS * 1000);
  };
  const listen = () => {
    stream = new EventSource(address);
    stream.addEventListener("open", () => {
      clearInterval(poll);
      poll = null;
      show("on");
    });
    stream.addEventListener("changed", refresh);
    stream.addEventListener("error", askNowAndThen);
  };
  const open = () => {
    close();
    show("on");
    listen();
    again = setInterval(refresh, AGAIN_SECONDS * 1000);
  };
  if (isLive && button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      isPaused = !isPaused;
      sessionStorage.setItem(PAUSED, isPaused ? "yes" : "no");
      if (isPaused) {
        close();
        show("off");
      } else {
        open();
        refresh();
      }
    });
    if (isPaused) show("off");
    else if (!document.hidden) open();
    // A browser keeps six connections to one host: pages that nobody looks at leave theirs to those that are.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) close();
      else if (!isPaused) open();
    });
    addEventListener("pagehide", close);
    addEventListener("pageshow", (shown) => {
      if (shown.persisted && !isPaused) open();
    });
  }

  // Whoever looks at what nobody keeps fresh any more is told so.
  const stale = document.querySelector("[data-stale]");
  const tellStale = (isStale) => {
    if (stale && stale.hidden === isStale) stale.hidden = !isStale;
    if (isStale && !isPaused) show("gone");
  };
  document.addEventListener("htmx:error", () => tellStale(true));
  document.addEventListener("htmx:response:error", () => tellStale(true));
  document.addEventListener("htmx:after:swap", () => {
    tellStale(false);
    if (!isPaused) show(stream && stream.readyState === EventSource.OPEN ? "on" : "away");
  });

  // What needs a script is shown where there is one, for good: what is hidden for a moment loses the focus.
  document.documentElement.dataset.scripted = "";

  document.addEventListener("click", async (clicked) => {
    const copy = clicked.target.closest("[data-copy]");
    if (copy) {
      const before = copy.textContent;
      try {
        await navigator.clipboard.writeText(copy.dataset.copy);
      } catch {
        return;
      }
      copy.textContent = copy.dataset.copied;
      setTimeout(() => { copy.textContent = before; }, 1500);
    }
  });
  document.addEventListener("submit", (sent) => {
    const question = (sent.submitter && sent.submitter.dataset.confirm) || sent.target.dataset.confirm;
    if (question && !confirm(question)) sent.preventDefault();
  });
  // One box ticks all of its table.
  document.addEventListener("change", (changed) => {
    if (changed.target.matches("[data-all]")) {
      each(changed.target.dataset.all, (box) => { box.checked = changed.target.checked; });
    }
    if (isMissed) refresh();
  });
})();
