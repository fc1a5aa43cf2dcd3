"use strict";

/* The whole page: figures, plots, the list of videos with filters, and the chosen video. */

let page = null;

/* Called by data/summary.js. */
function receiveSummary(summary) {
  page = new Page(summary);
}

/* Called by data/video_<id>.js. */
function receiveVideo(video) {
  page.onVideo(video);
}

class Page {
  constructor(summary) {
    this.summary = summary;
    this.names = summary.categories;
    this.current = null;
    this.player = new Player(this.names, (t) => this.onFrame(t));
    document.body.classList.toggle("unscored", summary.scored === null);
    this.writeHead();
    this.writeFilters();
    this.writeList();
    this.followHash();
    this.filter();
    window.addEventListener("hashchange", () => this.followHash());
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  writeHead() {
    const { sources, scored, score_threshold: threshold, videos } = this.summary;
    const sum = (key) => videos.reduce((total, x) => total + x[key], 0);
    document.title = `Results: ${sources[1]}`;
    byId("about").textContent = [
      scored ? `${sources[1]} against ${sources[0]}` : `${sources[1]}, without ground truth`,
      plural(videos.length, "video"),
      ...(scored ? [plural(sum("objects"), "object")] : []),
      `${plural(sum("predictions"), "prediction")} scored at least ${threshold.toFixed(2)}`,
    ].join(" · ");
    if (!scored) return;
    for (const [name, value] of Object.entries(scored.figures)) {
      const text = name === "ID switches" ? `${value}` : percent(value);
      byId("figures").append(element("div", {}, element("dt", {}, name), element("dd", {}, text)));
    }
  }

  writeFilters() {
    const used = new Set(this.summary.videos.flatMap((x) => x.categories));
    const options = [...used].sort((a, b) => this.names[a].localeCompare(this.names[b]));
    byId("category").append(
      element("option", { value: "" }, "all categories"),
      ...options.map((id) => element("option", { value: id }, this.names[id])),
    );
    const { lost } = this.summary.scored || {};
    if (lost) {
      byId("lost").hidden = byId("worst").hidden = false;
      byId("lost-plot").append(lostPlot(lost));
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

  writeList() {
    const most = Math.max(...this.summary.videos.map((x) => x.gain || 0), 1e-9);
    this.rows = this.summary.videos.map((video) => {
      const words = [video.name, `${video.id}`, ...video.categories.map((x) => this.names[x])];
      const row = element(
        "button",
        { type: "button", "data-video": video.id },
        element("b", {}, video.name),
        ...(video.gain === null ? [] : [gainElement(video.gain, most)]),
        ...videoFacts(video, this.summary.scored).map((x) => element("small", {}, x)),
      );
      row.addEventListener("click", () => this.choose(video.id));
      return { video, row, words: words.join(" ").toLowerCase() };
    });
    byId("list").append(...this.rows.map((x) => x.row));
  }

  filter() {
    const wanted = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const category = byId("category").value === "" ? null : Number(byId("category").value);
    const switches = byId("switches").checked;
    const kind = byId("worst").value;
    const worst = kind ? new Set(this.summary.scored.worst[kind]) : null;
    let count = 0;
    for (const { video, row, words } of this.rows) {
      const fits =
        wanted.every((x) => words.includes(x)) &&
        (category === null || video.categories.includes(category)) &&
        (!switches || video.switches > 0) &&
        (worst === null || worst.has(video.id));
      row.hidden = !fits;
      count += fits;
    }
    const order = this.summary.scored ? ", by AP cost" : "";
    byId("count").textContent = `${count} of ${plural(this.rows.length, "video")}${order}`;
    this.plot(category);
    const fitting = this.rows.filter((x) => !x.row.hidden);
    if (fitting.length && !fitting.some((x) => x.video.id === this.current)) {
      this.choose(fitting[0].video.id);
    }
  }

  plot(category) {
    const { scored } = this.summary;
    if (!scored) return;
    const choose = (id) => {
      byId("category").value = id === category ? "" : `${id}`;
      this.filter();
    };
    byId("category-plot").replaceChildren(categoryPlot(scored, this.names, category, choose));
    byId("threshold-plot").replaceChildren(thresholdPlot(scored, this.names, category));
    const key = [element("i", { class: "overall" }), " all "];
    if (category !== null) key.push(element("i", { class: "chosen" }), ` ${this.names[category]}`);
    else key.push(element("i", { class: "category" }), " each category");
    byId("threshold-key").replaceChildren(...key);
  }

  /* Chooses the video, and the frame if there is one, in the hash of the URL. */
  followHash() {
    const found = /^#video-(\d+)(?:-frame-(\d+))?$/.exec(window.location.hash);
    const known = found && this.rows.find((x) => x.video.id === Number(found[1]));
    if (!known) return;
    const t = found[2] === undefined ? 0 : Number(found[2]);
    if (this.current === known.video.id) this.player.seek(t);
    else this.choose(known.video.id, t);
    byId("list").scrollTop = known.row.offsetTop;
  }

  choose(id, t = 0) {
    if (this.current === id) return;
    this.current = id;
    this.first = t;
    for (const { video, row } of this.rows) row.classList.toggle("chosen", video.id === id);
    window.history.replaceState(null, "", t ? `#video-${id}-frame-${t}` : `#video-${id}`);
    const script = element("script", { src: `data/video_${id}.js` });
    script.addEventListener("load", () => script.remove());
    document.head.append(script);
  }

  /* Keeps a link to the frame in the URL. */
  onFrame(t) {
    window.history.replaceState(null, "", `#video-${this.current}-frame-${t}`);
  }

  /* Up and down choose the video before and after in the list. */
  onKey(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.target.closest("input, select")) return;
    const shown = this.rows.filter((x) => !x.row.hidden);
    const next = shown[shown.findIndex((x) => x.video.id === this.current) + step];
    if (!next) return;
    this.choose(next.video.id);
    next.row.scrollIntoView({ block: "nearest" });
    event.preventDefault();
  }

  onVideo(video) {
    // Another video may have been chosen in the meantime.
    if (video.id !== this.current) return;
    const line = this.summary.videos.find((x) => x.id === video.id);
    byId("video-name").textContent = line.name;
    byId("video-facts").textContent = [
      `id ${video.id}`,
      plural(line.length, "frame"),
      `${video.width} × ${video.height}`,
      ...(line.gain === null ? [] : [`perfect predictions here would raise AP by ${line.gain.toFixed(2)}`]),
    ].join(" · ");
    this.player.load(video, this.first);
  }
}

function gainElement(gain, most) {
  return element(
    "span",
    { class: "gain", title: "AP points gained if the predictions of this video were perfect" },
    element("em", {}, `${gain > 0 ? "−" : ""}${gain.toFixed(2)} AP`),
    element("i", { style: `width:${(100 * Math.max(gain, 0)) / most}%` }),
  );
}

/* Two lines about a video: its tracks, and the frames with errors summed over its tracks. */
function videoFacts(video, scored) {
  if (!scored) return [plural(video.predictions, "prediction")];
  const tracks = [plural(video.objects, "object")];
  if (video.switches) tracks.push(plural(video.switches, "ID switch"));
  const kinds = { missed: "missed", wrong_category: "misclassified", false: "false" };
  const frames = Object.entries(kinds)
    .filter(([key]) => video[key])
    .map(([key, text], i) => `${video[key]}${i ? "" : video[key] === 1 ? " frame" : " frames"} ${text}`);
  return [tracks.join(" · "), frames.join(", ") || "no errors"];
}
