"use strict";

/* The player: frames with the masks of ground truth and predictions side by side. */

const KEPT_PIXELS = 32e6; // 128 MB.
const FRAMES_AHEAD = 8;
const CROWD_COLOR = "#8b93a1";

/* Loads the frames of a video on demand and caches the most recently used. */
class Frames {
  constructor({ frames, width, height }) {
    this.urls = frames;
    this.most = Math.max(2 * FRAMES_AHEAD, Math.floor(KEPT_PIXELS / (width * height)));
    this.images = new Map();
  }

  /* A promise of the image, or of null if it cannot be loaded. */
  get(t) {
    const image = this.images.get(t) || loadBitmap(this.urls[t]);
    // Move it to the end: the map is ordered by last use.
    this.images.delete(t);
    this.images.set(t, image);
    if (this.images.size > this.most) this.close(this.images.keys().next().value);
    return image;
  }

  prefetch(t) {
    for (let i = 1; i <= FRAMES_AHEAD; i++) this.get((t + i) % this.urls.length);
  }

  close(t) {
    this.images.get(t).then((image) => image?.close());
    this.images.delete(t);
  }

  closeAll() {
    for (const t of [...this.images.keys()]) this.close(t);
  }
}

/* An ImageBitmap, null if the image cannot be loaded. Chromium never frees what `Image.decode`
   decodes. */
async function loadBitmap(url) {
  const node = new Image();
  try {
    await new Promise((resolve, reject) => {
      node.onload = resolve;
      node.onerror = reject;
      node.src = url;
    });
    return await createImageBitmap(node);
  } catch {
    return null;
  } finally {
    node.src = "";
  }
}

class Player {
  /* `onChange()` is called when a frame or a track has been chosen. */
  constructor(names, models, onChange) {
    this.names = names;
    this.models = models;
    this.onChange = onChange;
    this.video = null;
    this.t = 0;
    this.track = null;
    this.playing = false;
    models.forEach(({ name }, m) => {
      const title = models.length > 1 ? name : "Predictions";
      const canvas = element("canvas", { id: `predictions-${m}` });
      byId("panes").append(element("figure", {}, element("figcaption", {}, title), canvas));
    });
    byId("play").addEventListener("click", () => this.toggle());
    byId("seek").addEventListener("input", () => this.seek(Number(byId("seek").value)));
    for (const id of ["show-masks", "show-labels"]) {
      byId(id).addEventListener("change", () => this.show(this.t));
    }
    new ResizeObserver(() => this.show(this.t)).observe(byId("predictions-0"));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  load(video, t, track) {
    this.pause();
    this.video = video;
    this.frames?.closeAll();
    this.frames = new Frames(video);
    byId("seek").max = video.frames.length - 1;
    for (const canvas of byId("panes").querySelectorAll("canvas")) {
      canvas.style.aspectRatio = `${video.width} / ${video.height}`;
    }
    return this.open(t, track);
  }

  /* Shows a frame and puts a track into focus. Both may be null: then it is the first frame (of the
     track), and no track. */
  open(t, track) {
    this.pause();
    const spans = track && this.tracks(track)[track.index]?.spans;
    this.track = spans ? track : null;
    const first = spans && spans.length ? spans[0].start : 0;
    byId("timeline").replaceChildren(timelineElement(this));
    const last = this.video.frames.length - 1;
    const shown = this.show(Math.min(t === null ? first : t, last));
    this.onChange();
    return shown;
  }

  /* The lines of all tracks of a kind, "object" or "prediction", with their spans. */
  tracks({ model, kind }) {
    return this.video.models[model]?.[`${kind}s`] || [];
  }

  /* Puts a track into focus, or no track if it is already. */
  focus(track) {
    const same = this.track && Object.keys(track).every((x) => this.track[x] === track[x]);
    this.open(this.t, same ? null : track);
  }

  /* Whether a track is in focus in a frame, itself or since it is paired with the one that is. */
  inFocus(model, kind, index, t) {
    if (!this.track) return true;
    const own = this.track;
    if (kind === own.kind && (kind === "object" || model === own.model)) return index === own.index;
    const object = own.kind === "object" ? own.index : partnerAt(this.tracks(own)[own.index], t);
    if (kind === "object") return index === object;
    return object !== null && partnerAt(this.video.models[model].predictions[index], t) === object;
  }

  toggle() {
    if (this.playing) this.seek(this.t);
    else this.play();
  }

  pause() {
    this.playing = false;
    byId("play").textContent = "Play";
  }

  async play() {
    if (this.playing || !this.video) return;
    this.playing = true;
    byId("play").textContent = "Pause";
    const video = this.video;
    while (this.playing && this.video === video) {
      const due = performance.now() + 1000 / Number(byId("speed").value);
      this.frames.prefetch(this.t);
      await this.show((this.t + 1) % video.frames.length);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    }
  }

  seek(t) {
    this.pause();
    const last = this.video.frames.length - 1;
    const shown = this.show(Math.min(Math.max(t, 0), last));
    this.onChange();
    return shown;
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (!this.video || event.target.closest("input, select, button")) return;
    if (event.key in steps) this.seek(this.t + steps[event.key]);
    else if (event.key === " ") this.toggle();
    else if (event.key === "Escape" && this.track) this.open(this.t, null);
    else return;
    event.preventDefault();
  }

  /* Resolves when the frame is drawn or another one was requested. */
  async show(t) {
    if (!this.video) return;
    const { video, frames } = this;
    this.t = t;
    const image = await frames.get(t);
    if (this.video !== video || this.t !== t) return;
    byId("seek").value = t;
    byId("frame").textContent = `frame ${t} / ${video.frames.length - 1}`;
    byId("timeline").style.setProperty("--at", t / video.frames.length);
    byId("timeline").style.setProperty("--frame", 1 / video.frames.length);
    const colored = (kind, model) => (track, i) => ({
      ...track,
      css: identityColor(track.color),
      label: [i + 1, this.names[track.category], track.score && scoreText(track.score)]
        .filter((x) => x !== undefined)
        .join(" "),
      faint: !this.inFocus(model, kind, i, t),
    });
    const crowds = video.crowds.map((x) => ({ ...x, css: CROWD_COLOR, label: "crowd", faint: this.track !== null }));
    // Objects have the same colours for all models.
    const objects = video.objects.map((x, i) => ({ ...x, ...video.models[0].objects[i] }));
    this.draw("truth", image, [...crowds, ...objects.map(colored("object", 0))]);
    video.models.forEach((model, m) => {
      this.draw(`predictions-${m}`, image, model.predictions.map(colored("prediction", m)));
    });
  }

  draw(id, image, tracks) {
    const canvas = byId(id);
    const { width, height, frames } = this.video;
    const pixels = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * pixels);
    canvas.height = Math.round((canvas.width * height) / width);
    if (!canvas.width) return;
    const context = canvas.getContext("2d");
    const scale = canvas.width / width;
    if (image) {
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
    } else {
      context.font = `${14 * pixels}px system-ui, sans-serif`;
      context.fillStyle = "#8b2635";
      context.fillText(`cannot be loaded: ${frames[this.t]}`, 10 * pixels, 24 * pixels);
    }
    const shapes = tracks
      .map((track) => ({ track, counts: track.masks[this.t] }))
      .filter((x) => x.counts !== null)
      .map((x) => ({ track: x.track, shape: maskShape(x.counts, height) }))
      .filter((x) => x.shape !== null);
    if (byId("show-masks").checked) {
      for (const { track, shape } of shapes) {
        if (track.faint) drawOutline(context, shape, track.css, scale, pixels);
        else drawMask(context, shape, track.css, scale, pixels);
      }
    }
    if (byId("show-labels").checked) {
      const taken = [];
      for (const { track, shape } of shapes.filter((x) => !x.track.faint)) {
        const x = ((shape.left + shape.right) / 2) * scale;
        drawLabel(context, track.label, x, shape.top * scale, track.css, pixels, taken);
      }
    }
  }
}

/* The index of the track that a track is paired with in a frame, null for none. */
function partnerAt(track, t) {
  const span = track.spans.find((x) => x.start <= t && t < x.end);
  return span ? span.partner : null;
}

/* Fills and outlines a mask; the alpha is that of the filling. */
function drawMask(context, shape, color, scale, pixels, alpha = 0.4) {
  context.save();
  context.scale(scale, scale);
  context.lineCap = "round";
  context.globalAlpha = alpha;
  context.fillStyle = color;
  context.fill(shape.area);
  context.globalAlpha = 0.55;
  context.lineWidth = (3.5 * pixels) / scale;
  context.strokeStyle = "#10131a";
  context.stroke(shape.outline);
  context.globalAlpha = 1;
  context.lineWidth = (1.75 * pixels) / scale;
  context.strokeStyle = color;
  context.stroke(shape.outline);
  context.restore();
}

/* What remains of a mask that is not in focus. */
function drawOutline(context, shape, color, scale, pixels) {
  context.save();
  context.scale(scale, scale);
  context.globalAlpha = 0.35;
  context.lineWidth = pixels / scale;
  context.strokeStyle = color;
  context.stroke(shape.outline);
  context.restore();
}

/* Draws a label in a box above (x, y) or at the nearest free place; `taken` are earlier boxes. */
function drawLabel(context, text, x, y, color, pixels, taken) {
  const { width, height } = context.canvas;
  context.font = `600 ${12 * pixels}px system-ui, "DejaVu Sans", sans-serif`;
  const w = context.measureText(text).width + 10 * pixels;
  const h = 18 * pixels;
  const left = Math.max(0, Math.min(x - w / 2, width - w));
  const rows = [-1.15, 0, 1, -2.2, 2, -3.3, 3].map((i) => y + i * h);
  const free = rows.find(
    (row) =>
      row >= 0 &&
      row + h <= height &&
      taken.every((p) => left + w <= p.left || left >= p.left + p.w || row + h <= p.row || row >= p.row + p.h),
  );
  const row = free === undefined ? Math.max(0, Math.min(rows[0], height - h)) : free;
  taken.push({ left, row, w, h });
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(left, row, w, h, 4 * pixels);
  context.fill();
  context.fillStyle = "#10131a";
  context.textBaseline = "middle";
  context.fillText(text, left + 5 * pixels, row + h / 2 + pixels / 2);
}
