"use strict";
// The page of photographs to correct. What it says of the run stands in #data; nothing is fetched, nothing is sent.
// Names reach the page as text only. The functions above start() need no page: the tests run them in node.

const KEYS = "123456789abcdefghijklmnopqrstuvwxyz";

/** A cell of CSV, as every reader takes it apart again. */
function cell(text) {
  return /[",\r\n\v\f\u0085\u2028\u2029]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What a photograph begins with: the classes that are suggested, and nobody has looked. */
function fresh(photo) {
  return { on: photo.classes.filter((one) => one.given).map((one) => one.name), more: [], done: false };
}

/** The names that are shown of a photograph: its likely classes, and those that a person has added. */
function shown(photo, own) {
  return [...photo.classes.map((one) => one.name), ...own.more];
}

/** Turn a class of a photograph on or off; a class that is not shown yet is added. */
function flipped(photo, own, name) {
  const more = shown(photo, own).includes(name) ? own.more : [...own.more, name];
  const on = own.on.includes(name) ? own.on.filter((each) => each !== name) : [...own.on, name];
  return { ...own, on, more };
}

/** Whether a person has changed what was suggested. */
function changed(photo, own) {
  const before = fresh(photo).on;
  return before.length !== own.on.length || before.some((name) => !own.on.includes(name));
}

/** What is kept, of the photographs and classes that are here. */
function restored(data, kept) {
  const names = new Set(data.names);
  return data.photos.map((photo) => {
    const own = kept[photo.path];
    if (!own) return fresh(photo);
    const known = (list) => (Array.isArray(list) ? list.filter((name) => names.has(name)) : []);
    const here = photo.classes.map((one) => one.name);
    const on = known(own.on);
    const more = known(own.more).filter((name) => !here.includes(name));
    return { on: on.filter((name) => here.includes(name) || more.includes(name)), more, done: own.done === true };
  });
}

/** The file of corrections: what the run was told before, then each photograph that was accepted. */
function table(data, state, others) {
  const rows = [["path", "labels", "absent"], ...data.known];
  data.photos.forEach((photo, at) => {
    if (!state[at].done) return;
    const all = shown(photo, state[at]);
    const off = all.filter((name) => !state[at].on.includes(name));
    const absent = others || all.length === data.names.length ? "*" : off.join("|");
    rows.push([photo.path, all.filter((name) => state[at].on.includes(name)).join("|"), absent]);
  });
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const put = (tag, style, text) => {
    const node = document.createElement(tag);
    if (style) node.className = style;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  let storage = null;
  try {
    storage = window.localStorage;
    storage.setItem("ccd-fast", "1");
  } catch {
    storage = null;
  }
  const read = () => {
    try {
      return JSON.parse((storage && storage.getItem(data.key)) || "{}");
    } catch {
      return {};
    }
  };
  const kept = read();
  const state = restored(data, kept.photos || {});
  const cards = [];
  let at = Math.max(0, state.findIndex((own) => !own.done));
  let unsaved = false;
  $("others").checked = kept.others === true;

  const save = () => {
    unsaved = true;
    const photos = Object.fromEntries(data.photos.map((photo, k) => [photo.path, state[k]]));
    try {
      if (storage) storage.setItem(data.key, JSON.stringify({ photos, others: $("others").checked }));
    } catch {
      storage = null;
    }
    count();
  };

  const count = () => {
    const done = state.filter((own) => own.done).length;
    const differ = state.filter((own, k) => own.done && changed(data.photos[k], own)).length;
    $("count").textContent = `${done} of ${state.length} done` + (done ? `, ${differ} corrected` : "");
    $("bar").style.width = `${(100 * done) / Math.max(state.length, 1)}%`;
    $("download").disabled = !done;
    $("kept").textContent = storage
      ? "What you do is kept in this browser."
      : "This browser keeps nothing: download before you close the page.";
  };

  const draw = (k) => {
    const { photo, card, chips, accept, own } = { ...cards[k], own: state[k], photo: data.photos[k] };
    card.classList.toggle("done", own.done);
    card.classList.toggle("changed", changed(photo, own));
    accept.textContent = own.done ? "✓ accepted" : "Accept";
    accept.setAttribute("aria-pressed", own.done);
    chips.replaceChildren();
    shown(photo, own).forEach((name, place) => {
      const on = own.on.includes(name);
      const chip = put("button", on ? "chip on" : "chip");
      const one = photo.classes[place];
      chip.type = "button";
      chip.setAttribute("aria-pressed", on);
      chip.append(put("kbd", "", KEYS[place] || ""), put("span", "name", name));
      if (one) {
        const meter = put("span", "meter");
        for (const [style, share] of [["s", one.student], ["l", one.labels]]) {
          const line = put("i", style);
          line.style.width = `${share}%`;
          meter.append(line);
        }
        chip.append(meter);
        chip.title = `${name}: the student says ${one.student} %, its labels ${one.labels} %`;
      }
      chip.addEventListener("click", () => flip(k, name));
      chips.append(chip);
    });
    const add = put("button", "chip add", "+ other");
    add.type = "button";
    add.title = "a class that is not shown (key /)";
    add.addEventListener("click", () => ask(k));
    if (shown(photo, own).length < data.names.length) chips.append(add);
  };

  const select = (k, scroll = true) => {
    cards[at].card.classList.remove("here");
    at = Math.min(Math.max(k, 0), cards.length - 1);
    cards[at].card.classList.add("here");
    if (scroll) cards[at].card.scrollIntoView({ block: "nearest" });
    if ($("large").open) enlarge();
  };
  const flip = (k, name) => {
    state[k] = flipped(data.photos[k], state[k], name);
    select(k, false);
    const place = [...cards[k].chips.children].indexOf(document.activeElement);
    draw(k);
    if (place >= 0) cards[k].chips.children[place].focus();
    save();
  };
  const set = (k, done) => {
    state[k] = { ...state[k], done };
    draw(k);
    save();
  };
  const next = () => {
    const order = [...state.keys()].map((step) => (at + 1 + step) % state.length);
    const open = order.find((k) => !state[k].done);
    $("over").hidden = open !== undefined;
    if (open !== undefined) select(open);
  };
  const ask = (k) => {
    select(k);
    $("what").value = $("adding").returnValue = "";
    $("adding").showModal();
    $("what").focus();
  };
  const enlarge = () => {
    $("large").querySelector("img").src = data.photos[at].picture;
    $("large").querySelector("p").textContent = `${data.photos[at].path} · ${state[at].on.join(", ") || "none of the classes"}`;
    if (!$("large").open) $("large").showModal();
  };
  const columns = () => cards.filter((one) => one.card.offsetTop === cards[0].card.offsetTop).length;

  data.photos.forEach((photo, k) => {
    const card = put("article", "photo");
    const stage = put("button", "stage");
    const picture = put("img");
    stage.type = "button";
    stage.title = "larger (key space)";
    picture.src = photo.picture;
    picture.alt = photo.path;
    picture.loading = "lazy";
    stage.append(picture);
    stage.addEventListener("click", () => (select(k, false), enlarge()));
    const chips = put("div", "chips");
    const foot = put("div", "foot");
    const accept = put("button", "accept");
    accept.type = "button";
    accept.addEventListener("click", () => (select(k, false), set(k, !state[k].done)));
    foot.append(put("span", "path", photo.path), accept);
    const why = put("p", "why", photo.why);
    card.append(stage, why, chips, foot);
    card.addEventListener("focusin", () => at !== k && select(k, false));
    $("grid").append(card);
    cards.push({ card, chips, accept });
    draw(k);
  });
  data.names.forEach((name) => {
    const option = put("option");
    option.value = name;
    $("names").append(option);
  });
  if (cards.length) select(at, at > 0);
  count();

  $("others").addEventListener("change", save);
  $("adding").addEventListener("close", () => {
    const name = $("what").value.trim();
    if ($("adding").returnValue === "add" && data.names.includes(name) && !state[at].on.includes(name)) flip(at, name);
  });
  $("large").addEventListener("click", () => $("large").close());
  $("download").addEventListener("click", () => {
    const link = put("a");
    link.href = URL.createObjectURL(new Blob([table(data, state, $("others").checked)], { type: "text/csv" }));
    link.download = data.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    unsaved = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved && !storage) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (!cards.length || event.ctrlKey || event.metaKey || event.altKey || $("adding").open) return;
    if (event.target.closest("header") && ["Enter", " "].includes(event.key)) return;
    const names = shown(data.photos[at], state[at]);
    const place = event.key.length === 1 ? KEYS.indexOf(event.key.toLowerCase()) : -1;
    const keys = {
      ArrowLeft: () => select(at - 1),
      ArrowRight: () => select(at + 1),
      ArrowUp: () => select(at - columns()),
      ArrowDown: () => select(at + columns()),
      Enter: () => (set(at, true), next()),
      Backspace: () => set(at, false),
      " ": () => ($("large").open ? $("large").close() : enlarge()),
      "/": () => ask(at),
    };
    if (keys[event.key]) keys[event.key]();
    else if (place >= 0 && place < names.length) flip(at, names[place]);
    else return;
    if ($("large").open) enlarge();
    event.preventDefault();
  });
}

if (typeof document !== "undefined") start();
