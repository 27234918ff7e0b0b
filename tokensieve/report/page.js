"use strict";
// Filters and orders the samples of the page. It only shows, hides and moves what stands there.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const list = document.querySelector(".samples");
  const samples = [...list.querySelectorAll(".sample")];
  const fields = form.elements;
  const texts = new Map(); // sample -> its text in lower case, read when it is first looked for

  function textOf(sample) {
    if (!texts.has(sample)) {
      const shown = [sample.querySelector("h3"), sample.querySelector(".tokens")];
      texts.set(sample, shown.map((each) => each.textContent).join("\n").toLowerCase());
    }
    return texts.get(sample);
  }

  function isWanted({ dataset }, source, low, high) {
    const kept = 100 * Number(dataset.kept);
    return (!source || dataset.source === source) && low <= kept && kept <= high;
  }

  function filter() {
    const words = fields.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const low = Number(fields.low.value || 0);
    const high = Number(fields.high.value || 100);
    let shown = 0;
    for (const sample of samples) {
      const fits = isWanted(sample, fields.source.value, low, high)
        && words.every((word) => textOf(sample).includes(word));
      sample.hidden = !fits;
      shown += fits;
    }
    form.querySelector("output").value = `${shown.toLocaleString("en")} of ${samples.length.toLocaleString("en")} samples shown`;
  }

  function order() {
    const [, sign, name] = /^(-?)(\w+)$/.exec(fields.order.value);
    const value = (sample) => (sign ? -1 : 1) * Number(sample.dataset[name]);
    list.append(...samples.toSorted((a, b) => value(a) - value(b) || a.dataset.rank - b.dataset.rank));
  }

  function update(event) {
    if (event && event.target.name === "order") order();
    if (event && event.target.name === "view") list.dataset.view = event.target.value;
    filter();
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    list.dataset.view = "one";
    order();
    filter();
  }));
  form.hidden = false;
  filter();
})();
