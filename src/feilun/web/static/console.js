"use strict";
// What pages cannot do alone: live parts, keys, copying. Without it every page works by forms.

document.cookie = "zone=" + encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC") +
  ";path=/;max-age=31536000;samesite=lax";

for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  source.onmessage = (event) => { part.innerHTML = JSON.parse(event.data).html; };
  source.addEventListener("done", () => source.close());
  // A server that comes back is asked again by the browser itself.
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent += " ✓";
});

const review = document.getElementById("review");
if (review) {
  let ahead = null;
  const look = async () => {
    const answer = await fetch(review.dataset.next);
    ahead = answer.ok ? (await answer.json()).html : null;
  };
  look();

  review.addEventListener("submit", async (event) => {
    const button = event.submitter;
    const undo = button && button.value === "undo";
    if (!ahead || undo) return; // the plain way: the page is loaded again
    event.preventDefault();
    const form = event.target;
    const body = new URLSearchParams(new FormData(form, button));
    const shown = review.innerHTML;
    review.innerHTML = ahead;
    ahead = null;
    const answer = await fetch(form.action, {method: "POST", body, headers: {"x-script": "1"}});
    if (!answer.ok) { // back to what was not taken, which says why
      review.innerHTML = shown;
      HTMLFormElement.prototype.submit.call(review.querySelector("form"));
      return;
    }
    await look();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const key = event.key === "Enter" ? "Enter" : event.key.toLowerCase();
    const button = [...review.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    if (button) { event.preventDefault(); button.click(); }
  });
}
