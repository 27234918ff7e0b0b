"use strict";
// Makes the maps of a page answer: each token gets an element of its own once its map comes near
// the window, colours by the chosen column, and a card by pointer, tap or keyboard. Whatever is of
// users' data is set as text, never as markup.
(() => {
  const NEAR = "800px";
  const BYTE = /⟨0x([0-9A-F]{2})⟩/;
  const UNSEEN = /[\p{C}\p{M}\p{Z}]/u;
  const GLYPHS = /(⏎|⇥|⟨(?:0x|U\+|\d)[^⟨⟩]*⟩|[␀-␟])/;
  const maps = new Map(); // article -> its data, and the elements of its tokens
  const controls = document.querySelector(".token-controls");
  const columns = controls ? JSON.parse(controls.querySelector("script").textContent) : [];
  const card = element("div", "token-card");
  let scale = columns[0];
  let shown = null;

  function element(tag, name = "", text = "") {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== "") made.textContent = text;
    return made;
  }

  function number(value) {
    return value == null ? "–" : String(value).replace("-", "−");
  }

  // --- tokens

  function build(article) {
    if (maps.has(article)) return;
    const data = JSON.parse(article.querySelector("script").textContent);
    const place = article.querySelector(".tokens");
    const tokens = data.texts.map((text, index) => token(text, index));
    const responses = data.texts.map((_, index) => outcome(data, index) !== "prompt");
    let seen = 0;
    data.number = responses.map((is) => (is ? seen++ : -1)); // among the response tokens
    maps.set(article, { data, tokens });
    paint(article);
    place.replaceChildren(...tokens);
    (tokens[responses.indexOf(true)] || tokens[0] || place).tabIndex = 0;
  }

  function token(text, index) {
    const made = element("bdi");
    made.index = index;
    for (const part of text.split(GLYPHS)) {
      if (!part) continue;
      if (GLYPHS.test(part)) made.append(element("i", "glyph", part));
      else made.append(part);
    }
    return made;
  }

  function outcome({ outcomes: [names, places] }, index) {
    return names[places[index]];
  }

  function paint(article) {
    const { data, tokens } = maps.get(article);
    const values = data.sides.length > 1 || !scale ? null : data.sides[0].columns.find(([name]) => name === scale.name);
    tokens.forEach((made, index) => {
      const step = values ? stepOf(values[2][data.number[index]]) : "";
      made.className = `token ${outcome(data, index)} ${step}`.trimEnd();
    });
  }

  function stepOf(value) {
    if (value == null) return "";
    const share = (value - scale.middle) / scale.reach;
    const step = Math.max(scale.diverging ? -4 : 0, Math.min(4, Math.round(4 * share)));
    return stepName(step);
  }

  function stepName(step) {
    return step ? (step < 0 ? `n${-step}` : `p${step}`) : "";
  }

  // --- the choice of a column, and the legend

  function addControls() {
    const label = controls.querySelector("label");
    const select = label.querySelector("select");
    columns.forEach(({ name }) => select.append(element("option", "", name)));
    select.append(element("option", "", "nothing"));
    select.addEventListener("change", () => {
      scale = columns[select.selectedIndex];
      for (const article of maps.keys()) paint(article);
      showScale();
    });
    label.hidden = false;
    showScale();
  }

  function showScale() {
    const list = controls.querySelector(".token-scale");
    list.replaceChildren();
    if (!scale) return;
    for (let step = scale.diverging ? -4 : 0; step <= 4; step += scale.diverging ? 2 : 1) {
      const value = Number((scale.middle + (step / 4) * scale.reach).toPrecision(2));
      const sign = step === 4 ? "≥ " : step === -4 || (step === 0 && !scale.diverging) ? "≤ " : "";
      list.append(element("li", stepName(step), sign + number(value)));
    }
    if (scale.unit) list.lastChild.append(` ${scale.unit}`);
  }

  // --- the card

  function show(made) {
    if (shown === made) return;
    hide();
    shown = made;
    const { data } = maps.get(made.closest(".token-map"));
    const index = made.index;
    const heading = element("p");
    heading.append("“", element("bdi", "", data.texts[index]), "”");
    const table = element("table");
    if (data.sides.length > 1) table.append(head(data.sides));
    const body = table.appendChild(element("tbody"));
    for (const [name, cells] of rows(data, index)) body.append(row(name, cells));
    card.replaceChildren(heading, table);
    made.setAttribute("aria-describedby", card.id);
    card.hidden = false;
    place(made);
    if (!card.hidden) uncover(made);
  }

  function hide() {
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    card.hidden = true;
  }

  function head(sides) {
    const line = element("tr");
    line.append(element("th"), ...sides.map(({ label }) => element("th", "", label)));
    const made = element("thead");
    made.append(line);
    return made;
  }

  function row(name, cells) {
    const line = element("tr");
    line.append(element("th", "", name));
    for (const [value, unit] of cells) {
      const cell = element("td");
      cell.append(element("bdi", "", value));
      if (unit && value !== "–") cell.append(element("span", "unit", ` ${unit}`));
      line.append(cell);
    }
    return line;
  }

  function rows(data, index) {
    const all = [["token", [[data.ids[index]]]], ["position", [[index]]], ["turn", [[turnOf(data, index)]]]];
    const whole = characters(data, index);
    if (whole) all.unshift(["part of", [[whole]]]);
    all.push(["outcome", data.sides.map((side) => [outcome(side, index)])]);
    const at = data.number[index];
    if (at < 0) return all;
    for (const name of names(data.sides, "columns")) all.push([name, data.sides.map((side) => valueOf(data.sides, side, name, at))]);
    for (const name of names(data.sides, "words")) all.push([name, data.sides.map((side) => wordOf(side, name, at))]);
    return all;
  }

  // Which characters a token of single bytes is a part of, in words; null if it has no such bytes.
  function characters({ texts }, index) {
    if (!BYTE.test(texts[index])) return null;
    const before = texts.slice(Math.max(0, index - 3), index).flatMap(bytesOf); // none has over 4
    const bytes = [...before, ...texts.slice(index, index + 4).flatMap(bytesOf)];
    const goesOn = (at) => (bytes[at] & 0xc0) === 0x80;
    let start = before.length;
    let end = start + bytesOf(texts[index]).length;
    while (start > 0 && goesOn(start)) start -= 1;
    while (end < bytes.length && goesOn(end)) end += 1;
    const found = [...new TextDecoder().decode(new Uint8Array(bytes.slice(start, end)))];
    return found.includes("\ufffd") ? null : found.map(visible).join(" ");
  }

  function bytesOf(text) {
    const encoder = new TextEncoder();
    return text.split(BYTE).flatMap((part, place) => (place % 2 ? [parseInt(part, 16)] : [...encoder.encode(part)]));
  }

  function visible(character) {
    return UNSEEN.test(character) ? `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` : character;
  }

  function names(sides, kind) {
    return [...new Set(sides.flatMap((side) => side[kind].map(([name]) => name)))];
  }

  const columnOf = (side, wanted) => side.columns.find(([name]) => name === wanted);

  function valueOf(sides, side, name, at) {
    const found = columnOf(side, name);
    if (!found) return ["–"];
    const values = found[2] || columnOf(sides[0], name)[2]; // left out where both say the same
    return [number(values[at]), found[1]];
  }

  function wordOf(side, name, at) {
    const found = side.words.find((word) => word[0] === name);
    return [(found && found[1][found[2][at]]) || "–"];
  }

  function turnOf(data, index) {
    let end = 0;
    return data.turns.find(([, count]) => (end += count) > index)[0];
  }

  function place(made) {
    const at = made.getClientRects()[0];
    if (!at || at.bottom < 0 || at.top > innerHeight) {
      hide();
      return;
    }
    const { width, height } = card.getBoundingClientRect();
    const below = at.bottom + 8 + height < innerHeight || at.top < height + 8;
    card.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    card.style.top = `${Math.max(8, below ? at.bottom + 8 : at.top - height - 8)}px`;
  }

  // On a narrow window the card lies along the bottom, where the token may be.
  function uncover(made) {
    const { left, top } = card.getBoundingClientRect();
    const covered = made.getClientRects()[0].bottom + 8 - top;
    if (left === 0 && covered > 0) scrollBy(0, covered);
  }

  // --- pointer and keyboard

  function focus(made) {
    const old = made.parentElement.querySelector("[tabindex]");
    if (old) old.removeAttribute("tabindex");
    made.tabIndex = 0;
    made.focus();
  }

  function next(made, key) {
    const tokens = maps.get(made.closest(".token-map")).tokens;
    if (key === "Home") return tokens[0];
    if (key === "End") return tokens.at(-1);
    if (key === "ArrowLeft") return tokens[made.index - 1];
    if (key === "ArrowRight") return tokens[made.index + 1];
    if (key === "ArrowUp" || key === "ArrowDown") return inNextLine(tokens, made, key === "ArrowUp" ? -1 : 1);
    return undefined;
  }

  function inNextLine(tokens, made, step) {
    const from = made.getClientRects()[0];
    let line = null;
    let best;
    for (let index = made.index + step; tokens[index]; index += step) {
      const at = tokens[index].getClientRects()[0];
      if (!at || Math.abs(at.top - from.top) < from.height / 2) continue;
      line = line ?? at.top;
      if (Math.abs(at.top - line) > from.height / 2) break;
      const distance = Math.abs(at.left - from.left);
      if (!best || distance < best.distance) best = { distance, token: tokens[index] };
    }
    return best && best.token;
  }

  const tokenAt = (event) => event.target.closest && event.target.closest(".token");

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const made = tokenAt(event);
    if (made) show(made);
    else if (!card.contains(event.target) && shown !== document.activeElement) hide();
  });
  document.addEventListener("click", (event) => {
    const made = tokenAt(event);
    if (made) focus(made);
    else if (!card.contains(event.target)) hide();
  });
  document.addEventListener("focusin", (event) => (tokenAt(event) ? show(event.target) : hide()));
  document.addEventListener("scroll", () => shown && place(shown), { passive: true, capture: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const made = tokenAt(event);
    const to = made && !event.ctrlKey && !event.metaKey && !event.altKey && next(made, event.key);
    if (!to) return undefined;
    event.preventDefault();
    return focus(to);
  });

  // --- the page

  const articles = [...document.querySelectorAll(".token-map")];
  const watcher = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
      watcher.unobserve(target);
      build(target);
    }),
    { rootMargin: NEAR },
  );
  card.id = "token-card";
  card.hidden = true;
  card.setAttribute("role", "tooltip");
  document.body.append(card);
  if (controls) {
    controls.hidden = !document.querySelector(".token-map:not(.token-diff)"); // nothing to colour
    addControls();
  }
  articles.forEach((article) => watcher.observe(article));
  addEventListener("beforeprint", () => articles.forEach(build));
})();
