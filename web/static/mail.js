// What makes the mailbox quicker to use. Everything works without it.
"use strict";

// On a phone the folders are a menu that begins closed.
const drawer = document.querySelector(".drawer");
if (drawer && matchMedia("(max-width: 900px)").matches) drawer.open = false;

// The list asks for new mail now and then. It stops when nobody is there, or the session of
// somebody who went home would never end by itself.
let touched = Date.now();
for (const what of ["keydown", "pointerdown", "pointermove", "scroll"]) {
  document.addEventListener(what, () => { touched = Date.now(); }, { passive: true });
}
document.body.addEventListener("htmx:beforeRequest", (e) => {
  if (e.detail.elt.matches(".fresh") && Date.now() - touched > 600000) e.preventDefault();
});

// The box that ticks all others.
const all = document.getElementById("all");
if (all) {
  all.closest("label").hidden = false;
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll("#mails input[name=uid]")) box.checked = all.checked;
  });
}

for (const b of document.querySelectorAll("[data-print]")) {
  b.hidden = false;
  b.addEventListener("click", () => window.print());
}

// Files are attached when they are chosen.
const file = document.getElementById("file");
if (file) {
  const attach = document.querySelector(".attachbutton");
  attach.classList.add("hidden");
  attach.tabIndex = -1;
  file.addEventListener("change", () => { if (file.files.length) attach.click(); });
}

// Who writes to several people gets offers for the last one.
const offers = document.getElementById("offers");
if (offers) {
  document.body.addEventListener("htmx:afterSwap", (e) => {
    if (e.target !== offers) return;
    const field = document.activeElement;
    if (!field || field.getAttribute("list") !== "offers") return;
    const cut = field.value.search(/[^,;]*$/);
    const before = field.value.slice(0, cut).trim();
    for (const o of offers.options) o.value = (before ? before + " " : "") + o.value + ", ";
  });
}

// What could not be saved is said, so that nobody relies on it.
for (const [event, which] of [["htmx:responseError", "gone"], ["htmx:sendError", "cut"], ["htmx:timeout", "cut"]]) {
  document.body.addEventListener(event, (e) => {
    const note = document.querySelector(".savednote");
    if (!note || !e.detail.elt.closest("#writing")) return;
    note.textContent = note.dataset[event === "htmx:responseError" && e.detail.xhr.status !== 401 ? "cut" : which];
  });
}

const problems = document.getElementById("problems");
if (problems) problems.focus();

// Keys. They do nothing while somebody writes.
let here = -1;
const rows = () => [...document.querySelectorAll("#mails .mail")].filter((m) => m.offsetParent);
const go = (step) => {
  const list = rows();
  if (!list.length) return;
  here = Math.max(0, Math.min(list.length - 1, here + step));
  for (const m of list) m.classList.remove("here");
  list[here].classList.add("here");
  list[here].querySelector("a").focus();
};
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey && e.key === "Enter" && document.getElementById("writing")) {
    document.querySelector("#writing button[value=send]").click();
    return;
  }
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, [contenteditable]")) return;
  const link = [...document.querySelectorAll("[data-key]")].find((n) => n.dataset.key === e.key);
  if (link) { e.preventDefault(); link.click(); return; }
  const row = rows()[here];
  const press = (value) => {
    if (!row) return;
    for (const box of document.querySelectorAll("#mails input[name=uid]")) box.checked = box.checked || row.contains(box);
    const b = document.querySelector(`#mails button[name=do][value=${value}]`);
    if (b) b.click();
  };
  switch (e.key) {
    case "j": go(1); break;
    case "k": go(-1); break;
    case "x": if (row) { const b = row.querySelector("input[name=uid]"); b.checked = !b.checked; } break;
    case "s": if (row) row.querySelector("button.star").click(); break;
    case "#": press("delete"); break;
    case "U": press("unread"); break;
    case "c": document.querySelector("a.compose").click(); break;
    case "/": { const q = document.getElementById("q"); if (q) { e.preventDefault(); q.focus(); } break; }
  }
});
