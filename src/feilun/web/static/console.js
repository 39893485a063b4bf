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

// Places in a text that bear a label. Positions are counted in characters, as Python does; the text
// area holds them as JSON, and is what is sent.
const points = (text) => [...text].length;

function marking(box) {
  const shown = box.querySelector("[data-text]"), area = box.querySelector("textarea");
  const text = shown.textContent;
  let spans = JSON.parse(area.value || "[]");

  const draw = () => {
    const letters = [...text];
    shown.replaceChildren();
    let at = 0;
    for (const span of spans.sort((one, other) => one.start - other.start)) {
      shown.append(letters.slice(at, span.start).join(""));
      const mark = document.createElement("mark");
      mark.textContent = letters.slice(span.start, span.end).join("");
      mark.dataset.label = span.label;
      shown.append(mark);
      at = span.end;
    }
    shown.append(letters.slice(at).join(""));
    area.value = JSON.stringify(spans);
  };

  const place = (node, offset) => {
    const before = document.createRange();
    before.selectNodeContents(shown);
    before.setEnd(node, offset);
    return points(before.toString());
  };
  const selected = () => {
    const chosen = getSelection();
    if (!chosen.rangeCount || !shown.contains(chosen.anchorNode) || !shown.contains(chosen.focusNode)) return null;
    const range = chosen.getRangeAt(0), letters = [...text];
    let start = place(range.startContainer, range.startOffset), end = place(range.endContainer, range.endOffset);
    while (start < end && !letters[start].trim()) start++;
    while (start < end && !letters[end - 1].trim()) end--;
    return {start, end};
  };
  const select = (start, end) => {
    const range = document.createRange();
    let passed = 0;
    const walk = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT);
    const ends = {};
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const letters = [...node.data], next = passed + letters.length;
      for (const [name, wanted] of [["start", start], ["end", end]])
        if (!ends[name] && wanted <= next && (wanted > passed || name === "start" && wanted === passed))
          ends[name] = [node, letters.slice(0, wanted - passed).join("").length];
      passed = next;
    }
    if (!ends.start || !ends.end) return;
    range.setStart(...ends.start);
    range.setEnd(...ends.end);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };

  box.addEventListener("mousedown", (event) => { if (event.target.closest("[data-mark]")) event.preventDefault(); });
  box.addEventListener("click", (event) => {
    const mark = event.target.closest("mark"), button = event.target.closest("[data-mark]");
    if (mark && getSelection().isCollapsed) {
      const at = place(mark, 0);
      select(at, at + points(mark.textContent));
    }
    const chosen = button && selected();
    if (!chosen) return;
    const {start, end} = chosen, label = button.dataset.mark;
    spans = spans.filter((span) => span.end <= start || span.start >= Math.max(end, start + 1));
    if (label && end > start) spans.push({start, end, label});
    draw();
    select(start, end);
    shown.focus();
  });
  shown.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const size = points(text), words = wordsOf(text), now = selected();
    let {start, end} = now || {start: step > 0 ? -1 : size, end: 0};
    if (event.shiftKey && now) {
      const ends = event.ctrlKey ? words.map((word) => word[1]) : [end - 1, end + 1];
      const next = step > 0 ? ends.find((one) => one > end) : ends.findLast((one) => one < end);
      end = Math.max(start + 1, Math.min(size, next ?? end));
    } else if (event.ctrlKey) {
      const next = step > 0 ? words.find((word) => word[0] > start) : words.findLast((word) => word[0] < start);
      if (!next) return;
      [start, end] = next;
    } else {
      start = Math.max(0, Math.min(size - 1, start + step));
      end = start + 1;
    }
    select(start, end);
  });

  for (const part of box.querySelectorAll("[data-tools], [data-text]")) part.hidden = false;
  for (const part of box.closest("form").querySelectorAll("[data-plain]")) part.hidden = true;
  area.hidden = true;
  draw();
}

// Where words begin and end, Chinese ones too.
function wordsOf(text) {
  const found = [];
  let at = 0;
  for (const {segment, isWordLike} of new Intl.Segmenter(undefined, {granularity: "word"}).segment(text)) {
    if (isWordLike) found.push([at, at + points(segment)]);
    at += points(segment);
  }
  return found;
}

// Words as they are written: the form's answer comes in pieces, and last the part of the page that
// shows it whole. Where that fails the form is sent the plain way.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-stream]");
  if (!form || form.elements.beside?.value) return;
  event.preventDefault();
  const talk = document.getElementById("talk"), coming = talk.querySelector("[data-coming]");
  const end = new AbortController(), body = new FormData(form);
  let answer = null;
  try {
    answer = await fetch(form.dataset.stream, {method: "POST", body, signal: end.signal});
  } catch { /* nobody answers */ }
  if (!answer || !answer.ok) { HTMLFormElement.prototype.submit.call(form); return; }
  for (const old of talk.querySelectorAll("section:not([data-coming])")) old.remove();
  coming.hidden = false;
  coming.querySelector("[data-end]").addEventListener("click", () => end.abort());
  const text = coming.querySelector(".text"), reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  text.textContent = "";
  try {
    for (let held = "", part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (held + part.value).split("\n\n");
      held = lines.pop();
      for (const line of lines) {
        const told = JSON.parse(line.slice("data: ".length));
        if (told.text) text.textContent += told.text;
        if (!told.html) continue;
        talk.innerHTML = told.html;
        prepare(talk);
        talk.querySelector("textarea").focus();
      }
    }
  } catch { coming.querySelector("[data-end]").hidden = true; } // what has come stays
});

const prepare = (part) => part.querySelectorAll("[data-spans]").forEach(marking);
prepare(document);

const review = document.getElementById("review");
if (review) {
  let ahead = null; // the next item, as it will be shown
  const look = async () => {
    try {
      const answer = await fetch(review.dataset.next);
      ahead = answer.ok ? (await answer.json()).html : null;
    } catch { ahead = null; } // nobody answers; what is saved next says so
  };
  let before = look(); // what is over before an answer is sent

  const send = async (form, button, body) => {
    const shown = [...review.childNodes]; // with what was typed
    const at = document.activeElement;
    const next = ahead;
    ahead = null;
    if (next) {
      review.innerHTML = next;
      prepare(review);
    }
    const problem = document.getElementById("offline");
    let answer = null;
    try {
      answer = await fetch(form.action, {method: "POST", body, headers: {"x-script": "1"}});
    } catch { /* nobody answers */ }
    if (answer && answer.ok) {
      if (problem) problem.remove();
      if (next) await look();
      else location.assign(location.pathname); // the page says what there is now
      return;
    }
    if (next) {
      ahead = review.innerHTML; // back to what was not taken
      review.replaceChildren(...shown);
      if (review.contains(at)) at.focus();
    }
    delete form.dataset.sent;
    if (!answer) {
      if (problem) return;
      const told = document.createElement("p");
      told.id = "offline";
      told.className = "problem";
      told.setAttribute("role", "alert");
      told.textContent = review.dataset.offline;
      review.before(told);
      return;
    }
    if (button && button.name) { // the page that is loaded says why
      const chosen = document.createElement("input");
      Object.assign(chosen, {type: "hidden", name: button.name, value: button.value});
      form.append(chosen);
    }
    HTMLFormElement.prototype.submit.call(form);
  };

  review.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (button && button.value === "undo") return; // the plain way: the page is loaded again
    event.preventDefault();
    if (form.dataset.sent) return;
    form.dataset.sent = "yes";
    const body = new URLSearchParams(new FormData(form, button));
    before = before.then(() => review.contains(form) ? send(form, button, body) : undefined);
  });
}

document.addEventListener("keydown", (event) => {
  const form = event.target.closest && event.target.closest("form.review");
  if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const save = form.querySelector("[data-key=Enter]");
    if (save) { event.preventDefault(); save.click(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  if (event.key === "Escape" && /^(INPUT|TEXTAREA)$/.test(tag)) { event.target.blur(); return; }
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(tag) && event.target.type !== "checkbox") return;
  if (event.key === "Enter" && /^(BUTTON|A|SUMMARY)$/.test(tag)) return; // which it presses
  const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  const area = document.querySelector("#review [data-edit]"), note = document.querySelector("#review [data-note]");
  if (key === "n" && note) { event.preventDefault(); note.closest("details").open = true; note.focus(); return; }
  if (key === "e" && area) { event.preventDefault(); area.focus(); return; }
  const button = [...document.querySelectorAll("main [data-key]")].find((one) => one.dataset.key === key);
  if (button) { event.preventDefault(); button.click(); }
});
