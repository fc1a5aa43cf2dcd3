"use strict";

/* The whole page: figures, plots, the list of videos, and the chosen video. */

let page = null;

/* Called by data/summary.js. */
function receiveSummary(summary) {
  page = new Page(summary);
}

/* Called by data/video_<id>.js. */
function receiveVideo(video) {
  page.onVideo(video);
}

/* The figures of several models, side by side; those of one model are all shown. */
const COMPARED = ["AP", "AP50", "AP75", "AR1", "AR10", "HOTA", "DetA", "AssA", "IDF1", "ID switches"];
// The IDF1 of the page is at the best score threshold, that of the intervals is not.
const WITH_INTERVALS = ["AP", "AP50", "AP75", "HOTA", "DetA", "AssA"];

class Page {
  constructor(summary) {
    this.summary = summary;
    this.models = summary.models;
    this.names = summary.categories;
    this.scored = this.models[0].scored !== null;
    this.current = null;
    document.body.classList.toggle("unscored", !this.scored);
    this.player = new Player(this.names, this.models, () => this.writeHash());
    this.list = new VideoList(summary, (x) => this.onFilter(x), (id) => this.choose(id));
    this.writeHead();
    if (this.scored && this.models[0].scored.lost) {
      byId("lost").hidden = false;
      byId("lost-plot").append(lostPlot(this.models));
      new Cases(summary, (model, item) => this.openCase(model, item));
    }
    this.followHash();
    this.list.filter();
    window.addEventListener("hashchange", () => this.followHash());
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  writeHead() {
    const { ground_truth: truth, videos } = this.summary;
    const names = this.models.map((x) => x.name).join(", ");
    const facts = [
      this.scored ? `${names} against ${truth}` : `${names}, without ground truth`,
      plural(videos.length, "video"),
    ];
    if (this.scored) facts.push(plural(videos.reduce((n, x) => n + x.objects, 0), "object"));
    this.models.forEach(({ score_threshold: threshold }, m) => {
      const number = videos.reduce((n, x) => n + x.models[m].predictions, 0);
      facts.push(`${plural(number, "prediction")} scored at least ${threshold.toFixed(2)}`);
    });
    document.title = `Results: ${names}`;
    byId("about").textContent = facts.join(" · ");
    if (!this.scored) return;
    if (this.models.length > 1) this.writeComparison();
    else {
      for (const [name, value] of Object.entries(this.models[0].scored.figures)) {
        byId("figures").append(
          element("div", {}, element("dt", {}, name), element("dd", {}, figureText(name, value))),
        );
      }
    }
  }

  /* A row for each model, with the differences to the first one. */
  writeComparison() {
    const { differences } = this.summary;
    const shown = COMPARED.filter((x) => x in this.models[0].scored.figures);
    byId("comparison").hidden = false;
    byId("comparison").append(
      element("tr", {}, element("th"), ...shown.map((x) => element("th", {}, x))),
    );
    this.models.forEach(({ name, scored }, m) => {
      const cells = shown.map((key) => {
        const cell = element("td", {}, figureText(key, scored.figures[key]));
        const found = WITH_INTERVALS.includes(key) && differences && differences[m];
        if (found) cell.append(differenceElement(found[key]));
        return cell;
      });
      const swatch = element("i", { class: "swatch", style: `background:${modelColor(m)}` });
      byId("comparison").append(element("tr", {}, element("th", {}, swatch, name), ...cells));
    });
  }

  onFilter(category) {
    if (this.scored) this.plot(category);
    const { shown } = this.list;
    if (shown.length && !shown.some((x) => x.video.id === this.current)) {
      this.choose(shown[0].video.id);
    }
  }

  plot(category) {
    const choose = (id) => {
      byId("category").value = id === category ? "" : `${id}`;
      this.list.filter();
    };
    const { models, names } = this;
    byId("category-plot").replaceChildren(categoryPlot(models, names, category, choose));
    byId("threshold-plot").replaceChildren(thresholdPlot(models, names, category));
    byId("hota-plot").replaceChildren(hotaPlot(models, names, category));
    const which = category === null ? [] : [{ text: names[category], style: "chosen" }];
    if (models.length > 1) {
      const keys = models.map((x, m) => ({ text: x.name, color: modelColor(m) }));
      for (const id of ["category-key", "threshold-key", "hota-key"]) {
        byId(id).replaceChildren(...keyElements(keys));
      }
      return;
    }
    const parts = Object.entries(TRACKING).map(([text, color]) => ({ text, color }));
    const each = which.length ? which : [{ text: "each category", style: "category" }];
    byId("hota-key").replaceChildren(...keyElements(parts));
    byId("threshold-key").replaceChildren(...keyElements([{ text: "all", style: "overall" }, ...each]));
    byId("category-key").replaceChildren(
      ...keyElements([{ text: "AP", style: "dark" }, { text: "AP50", style: "light" }]),
    );
  }

  /* Chooses the video, the frame and the track in the hash of the URL: "#video-3-frame-5-object-2",
     "#video-3-prediction-1", "#video-3-model-2-prediction-1". Frames count from 0, tracks and models
     from 1, as on the page. */
  followHash() {
    const pattern = /^#video-(\d+)(?:-frame-(\d+))?(?:(?:-model-(\d+))?-(object|prediction)-(\d+))?$/;
    const found = pattern.exec(window.location.hash);
    const known = found && this.list.rows.find((x) => x.video.id === Number(found[1]));
    if (!known) return;
    const t = found[2] === undefined ? null : Number(found[2]);
    const track = found[4]
      ? { kind: found[4], model: Number(found[3] || 1) - 1, index: Number(found[5]) - 1 }
      : null;
    if (this.current === known.video.id) this.player.open(t, track);
    else this.choose(known.video.id, t, track);
    byId("list").scrollTop = known.node.offsetTop;
  }

  /* Keeps a link to what is shown in the URL. */
  writeHash() {
    const { t, track } = this.player;
    const model = track && track.kind === "prediction" && track.model ? `-model-${track.model + 1}` : "";
    const chosen = track ? `${model}-${track.kind}-${track.index + 1}` : "";
    window.history.replaceState(null, "", `#video-${this.current}-frame-${t}${chosen}`);
  }

  choose(id, t = null, track = null) {
    if (this.current === id) return;
    this.current = id;
    this.first = [t, track];
    this.list.choose(id);
    const script = element("script", { src: `data/video_${id}.js` });
    script.addEventListener("load", () => script.remove());
    document.head.append(script);
  }

  openCase(model, { video, frame, object, prediction }) {
    const index = prediction && prediction.index !== null ? prediction.index : null;
    const track =
      index !== null && !object
        ? { kind: "prediction", model, index }
        : object
          ? { kind: "object", model: 0, index: object.index }
          : null;
    if (this.current === video) this.player.open(frame, track);
    else this.choose(video, frame, track);
    byId("video").scrollIntoView({ behavior: "smooth" });
  }

  /* Up and down choose the video before and after in the list. */
  onKey(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.target.closest("input, select")) return;
    const next = this.list.neighbour(this.current, step);
    if (!next) return;
    this.choose(next.video.id);
    next.node.scrollIntoView({ block: "nearest" });
    event.preventDefault();
  }

  async onVideo(video) {
    // Another video may have been chosen in the meantime.
    if (video.id !== this.current) return;
    const line = this.summary.videos.find((x) => x.id === video.id);
    const gains = line.models.map((x) => x.gain).filter((x) => x !== null);
    byId("video-name").textContent = line.name;
    byId("video-facts").textContent = [
      `id ${video.id}`,
      plural(line.length, "frame"),
      `${video.width} × ${video.height}`,
      ...(gains.length
        ? [`perfect predictions here would raise AP by ${gains.map((x) => x.toFixed(2)).join(" or ")}`]
        : []),
    ].join(" · ");
    await this.player.load(video, ...this.first);
  }
}

function figureText(name, value) {
  return name === "ID switches" ? `${value}` : percent(value);
}

function differenceElement({ value, low, high }) {
  const text = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(1)}`;
  const significant = low > 0 || high < 0;
  return element(
    "small",
    { class: significant ? "significant" : "", title: "difference to the first model, and its 95 % interval" },
    `${text(value)} [${text(low)}, ${text(high)}]`,
  );
}
