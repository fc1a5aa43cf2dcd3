"use strict";

/* The player: frames with the masks of ground truth and predictions side by side. */

const KEPT_FRAMES = 64;
const FRAMES_AHEAD = 8;
const CROWD_COLOR = "#8b93a1";

/* Loads the frames of a video on demand and caches the most recently used. */
class Frames {
  constructor(urls) {
    this.urls = urls;
    this.images = new Map();
  }

  /* A promise of the image, or of null if it cannot be loaded. */
  get(t) {
    let image = this.images.get(t);
    if (!image) {
      const node = new Image();
      node.src = this.urls[t];
      image = node.decode().then(() => node, () => null);
    }
    // Move it to the end: the map is ordered by last use.
    this.images.delete(t);
    this.images.set(t, image);
    if (this.images.size > KEPT_FRAMES) this.images.delete(this.images.keys().next().value);
    return image;
  }

  prefetch(t) {
    for (let i = 1; i <= FRAMES_AHEAD; i++) this.get((t + i) % this.urls.length);
  }
}

class Player {
  /* `onSeek(t)` is called when a frame has been chosen. */
  constructor(names, onSeek) {
    this.names = names;
    this.onSeek = onSeek;
    this.video = null;
    this.t = 0;
    this.playing = false;
    byId("play").addEventListener("click", () => this.toggle());
    byId("seek").addEventListener("input", () => this.seek(Number(byId("seek").value)));
    for (const id of ["show-masks", "show-labels"]) {
      byId(id).addEventListener("change", () => this.show(this.t));
    }
    new ResizeObserver(() => this.show(this.t)).observe(byId("predictions"));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  load(video, first) {
    this.pause();
    this.video = video;
    this.frames = new Frames(video.frames);
    byId("seek").max = video.frames.length - 1;
    byId("timeline").replaceChildren(timelineElement(video, this.names, (t) => this.seek(t)));
    for (const id of ["truth", "predictions"]) {
      byId(id).style.aspectRatio = `${video.width} / ${video.height}`;
    }
    return this.show(Math.min(first, video.frames.length - 1));
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
    const frame = Math.min(Math.max(t, 0), last);
    this.onSeek(frame);
    return this.show(frame);
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (!this.video || event.target.closest("input, select, button")) return;
    if (event.key in steps) this.seek(this.t + steps[event.key]);
    else if (event.key === " ") this.toggle();
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
    const crowds = video.crowds.map((x) => ({ ...x, css: CROWD_COLOR, label: "crowd" }));
    const colored = (track, i) => ({
      ...track,
      css: identityColor(track.color),
      label: [i + 1, this.names[track.category], track.score && scoreText(track.score)]
        .filter((x) => x !== undefined)
        .join(" "),
    });
    this.draw("truth", image, [...crowds, ...video.objects.map(colored)]);
    this.draw("predictions", image, video.predictions.map(colored));
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
      for (const { track, shape } of shapes) drawMask(context, shape, track.css, scale, pixels);
    }
    if (byId("show-labels").checked) {
      const taken = [];
      for (const { track, shape } of shapes) {
        drawLabel(context, track.label, shape.x * scale, shape.y * scale, track.css, pixels, taken);
      }
    }
  }
}

function drawMask(context, shape, color, scale, pixels) {
  context.save();
  context.scale(scale, scale);
  context.lineCap = "round";
  context.globalAlpha = 0.4;
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
