"use strict";
// Without this file the form works by page loads. With it the answer appears in place, the moment it is there.

const POLL_MS = 1000;

/** Keep a region as its address says: told by events where they come, by asking again where they do not. */
function follow(region) {
  let source = null;
  let timer = null;
  let asking = false;
  let again = false;
  const stop = () => {
    if (source) source.close();
    clearInterval(timer);
  };
  const poll = () => {
    if (timer === null) timer = setInterval(refresh, POLL_MS);
  };
  async function refresh() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const answer = await fetch(region.dataset.fragment, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const text = await answer.text();
        // The same again must not be read out again.
        if (region.dataset.shown !== text) {
          region.innerHTML = text;
          region.dataset.shown = text;
          // On a phone the form fills the screen.
          if ("asked" in region.dataset) region.scrollIntoView({ block: "nearest" });
        }
        if (region.querySelector("[data-final]")) stop();
      }
    } catch {
      poll();
    } finally {
      asking = false;
    }
    if (again) {
      again = false;
      refresh();
    }
  }
  if (region.querySelector("[data-final]")) return;
  if (!window.EventSource) {
    poll();
    return;
  }
  source = new EventSource(region.dataset.events);
  source.addEventListener(region.dataset.on, refresh);
  source.addEventListener("error", poll);
}

function tell(form, errors, message) {
  for (const field of form.querySelectorAll("[name]")) {
    const place = document.getElementById(`${field.name}-error`);
    const text = errors[field.name] || "";
    place.textContent = text;
    place.hidden = !text;
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
  const whole = document.getElementById("form-error");
  whole.textContent = errors.form || message;
  whole.hidden = !whole.textContent;
  const first = form.querySelector("[aria-invalid]");
  if (first) first.focus();
}

function region(id) {
  const made = document.createElement("section");
  made.className = "live";
  made.dataset.fragment = `/flights/delays/predict_kafka/${id}`;
  made.dataset.events = `/flights/delays/predict/classify_realtime/response/${id}/events`;
  made.dataset.on = "reply";
  return made;
}

async function ask(form) {
  let answer;
  let body;
  try {
    answer = await fetch(form.dataset.ask, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    body = await answer.json();
  } catch {
    tell(form, {}, "ERROR: this server does not answer. Try again in a moment.");
    return;
  }
  if (!answer.ok) {
    tell(form, body.errors || {}, body.errors ? "" : `ERROR: ${body.message}`);
    return;
  }
  tell(form, {}, "");
  history.pushState(null, "", `?id=${body.id}`);
  const made = region(body.id);
  made.dataset.asked = "";
  document.getElementById("answers").prepend(made);
  follow(made);
}

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
}
addEventListener("popstate", () => location.reload());
for (const one of document.querySelectorAll(".live")) follow(one);
