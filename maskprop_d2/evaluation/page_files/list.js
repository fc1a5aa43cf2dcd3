"use strict";

/* The list of videos with its filters. */

class VideoList {
  /* `onFilter(category)` is called after each change, `onChoose(id)` for a click. */
  constructor(summary, onFilter, onChoose) {
    this.summary = summary;
    this.names = summary.categories;
    this.onFilter = onFilter;
    this.writeFilters();
    this.rows = summary.videos.map((video) => this.row(video, onChoose));
    byId("list").append(...this.rows.map((x) => x.node));
  }

  writeFilters() {
    const used = new Set(this.summary.videos.flatMap((x) => x.categories));
    const options = [...used].sort((a, b) => this.names[a].localeCompare(this.names[b]));
    byId("category").append(
      element("option", { value: "" }, "all categories"),
      ...options.map((id) => element("option", { value: id }, this.names[id])),
    );
    const { lost } = this.summary.models[0].scored || {};
    if (lost) {
      byId("worst").hidden = false;
      byId("worst").append(
        element("option", { value: "" }, "all kinds of error"),
        ...Object.keys(lost).map((x) => element("option", { value: x }, `worst: ${x}`)),
      );
    }
    byId("text").addEventListener("input", () => this.filter());
    for (const id of ["category", "switches", "worst"]) {
      byId(id).addEventListener("change", () => this.filter());
    }
  }

  row(video, onChoose) {
    const words = [video.name, `${video.id}`, ...video.categories.map((x) => this.names[x])];
    const node = element(
      "button",
      { type: "button", "data-video": video.id },
      element("b", {}, video.name),
      ...this.facts(video),
    );
    node.addEventListener("click", () => onChoose(video.id));
    return { video, node, words: words.join(" ").toLowerCase() };
  }

  facts(video) {
    const { models } = this.summary;
    const scored = models[0].scored !== null;
    this.most ??= Math.max(...this.summary.videos.flatMap((x) => x.models.map((y) => y.gain || 0)), 1e-9);
    return video.models.flatMap((facts, m) => {
      const color = models.length > 1 ? modelColor(m) : null;
      const gain = facts.gain === null ? [] : [gainElement(facts.gain, this.most, color)];
      return [...gain, ...videoFacts(video, facts, scored, models.length > 1).map((x) => element("small", {}, x))];
    });
  }

  get shown() {
    return this.rows.filter((x) => !x.node.hidden);
  }

  filter() {
    const wanted = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const category = byId("category").value === "" ? null : Number(byId("category").value);
    const switches = byId("switches").checked;
    const kind = byId("worst").value;
    const worst = kind ? new Set(this.summary.models.flatMap((x) => x.scored.worst[kind])) : null;
    for (const { video, node, words } of this.rows) {
      node.hidden = !(
        wanted.every((x) => words.includes(x)) &&
        (category === null || video.categories.includes(category)) &&
        (!switches || video.models.some((x) => x.switches > 0)) &&
        (worst === null || worst.has(video.id))
      );
    }
    const { models, videos } = this.summary;
    const orders = ["", models.length > 1 ? ", by difference in AP cost" : ", by AP cost"];
    const order = orders[Number(models[0].scored !== null)];
    byId("count").textContent = `${this.shown.length} of ${plural(videos.length, "video")}${order}`;
    this.onFilter(category);
  }

  choose(id) {
    for (const { video, node } of this.rows) node.classList.toggle("chosen", video.id === id);
  }

  /* The video before (-1) or after (1) in the list, if any. */
  neighbour(id, step) {
    const { shown } = this;
    return shown[shown.findIndex((x) => x.video.id === id) + step];
  }
}

function gainElement(gain, most, color) {
  const fill = color ? `;background:${color}` : "";
  return element(
    "span",
    { class: "gain", title: "AP points gained if the predictions of this video were perfect" },
    element("em", {}, `${gain > 0 ? "−" : ""}${gain.toFixed(2)} AP`),
    element("i", { style: `width:${(100 * Math.max(gain, 0)) / most}%${fill}` }),
  );
}

/* Two lines about a video, of several models one: its tracks, and the frames with errors summed over
   its tracks. */
function videoFacts(video, facts, scored, short) {
  if (!scored) return [plural(facts.predictions, "prediction")];
  const tracks = short ? [] : [plural(video.objects, "object")];
  if (facts.switches) tracks.push(plural(facts.switches, "ID switch"));
  const kinds = { missed: "missed", wrong_category: "misclassified", false: "false" };
  const frames = Object.entries(kinds)
    .filter(([key]) => facts[key])
    .map(([key, text], i) => `${facts[key]}${i ? "" : facts[key] === 1 ? " frame" : " frames"} ${text}`);
  const errors = frames.join(", ") || "no errors";
  return short ? [[...tracks, errors].join(" · ")] : [tracks.join(" · "), errors];
}
