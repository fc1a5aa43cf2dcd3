"use strict";

/* A strip for each track. The colours in an object's strip are those of the predictions that find
   it; the colours in a prediction's strip are those of the objects that it covers. */

const LEGEND = {
  found: "found",
  "wrong category": "found with a wrong category",
  missed: "missed",
  false: "false positive",
  ignored: "on a crowd, not counted",
};

function timelineElement(player) {
  const { video, models } = player;
  const length = video.frames.length;
  const root = element("div", { class: "timeline" });
  video.models.forEach((model, m) => {
    const of = models.length > 1 ? `${models[m].name}: ` : "";
    const objects = model.objects.map((x, i) => ({ ...x, category: video.objects[i].category }));
    const add = (title, kind, tracks, partners) => {
      if (!tracks.length) return;
      root.append(element("h3", {}, `${of}${title}`));
      tracks.forEach((_, i) => root.append(timelineRow(player, { kind, model: m, index: i }, tracks, partners)));
    };
    add("Objects and the predictions that find them", "object", objects, model.predictions);
    const covered = objects.length ? " and the objects that they cover" : "";
    add(`Predictions${covered}`, "prediction", model.predictions, objects);
  });
  const axis = element("div", { class: "axis" });
  for (const t of ticks(length)) {
    axis.append(element("span", { style: `left:${(100 * (t + 0.5)) / length}%` }, `${t}`));
  }
  root.append(element("div", { class: "row" }, element("span", { class: "name" }, "frame"), axis));
  root.append(legend(video));
  return root;
}

function timelineRow(player, key, tracks, partners) {
  const { video, names } = player;
  const track = tracks[key.index];
  const length = video.frames.length;
  const place = (from, to) => `left:${(100 * from) / length}%;width:${(100 * (to - from)) / length}%`;
  const strip = element("div", { class: "strip" });
  for (const span of track.spans) {
    const partner = span.partner === null ? null : partners[span.partner];
    const node = element("i", {
      class: `span ${span.state.replace(" ", "-")}`,
      style: `${place(span.start, span.end)};--color:${identityColor((partner || track).color)}`,
      title: spanTitle(span, partner, names),
    });
    strip.append(node);
  }
  for (const t of track.switches) {
    strip.append(element("i", { class: "switch", style: place(t, t), title: `ID switch in frame ${t}` }));
  }
  strip.addEventListener("click", (event) => {
    const box = strip.getBoundingClientRect();
    player.seek(Math.floor((length * (event.clientX - box.left)) / box.width));
  });
  const name = element(
    "span",
    { class: "name", title: `${names[track.category]}: show only this track` },
    element("i", { class: "swatch", style: `background:${identityColor(track.color)}` }),
    `${key.index + 1} ${names[track.category]}`,
  );
  name.addEventListener("click", () => player.focus(key));
  const { track: own } = player;
  const chosen = own && Object.keys(key).every((x) => own[x] === key[x]);
  const note = key.kind === "prediction" ? scoreText(track.score) : objectNote(track);
  return element(
    "div",
    { class: `row ${key.kind}${chosen ? " chosen" : ""}` },
    name,
    strip,
    element("span", { class: "note" }, note),
  );
}

function spanTitle(span, partner, names) {
  const last = span.end - 1;
  const frames = span.start === last ? `frame ${last}` : `frames ${span.start}–${last}`;
  if (partner === null) return `${frames}: ${LEGEND[span.state] || span.state}`;
  const kind = partner.score === undefined ? "object" : "prediction";
  const state = span.state === "found" ? "" : `, ${span.state}`;
  return `${frames}: ${kind} ${span.partner + 1} (${names[partner.category]})${state}`;
}

function objectNote(track) {
  const frames = (state) =>
    track.spans.filter((x) => !state || x.state === state).reduce((n, x) => n + x.end - x.start, 0);
  const note = `found ${frames("found")}/${frames()}`;
  return track.switches.length ? `${note}, ${plural(track.switches.length, "switch")}` : note;
}

function scoreText(score) {
  return score.toFixed(2);
}

/* About ten round frame numbers. */
function ticks(length) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((x) => length / x <= 12) || 5000;
  return Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
}

/* The states that occur in this timeline. */
function legend(video) {
  const tracks = video.models.flatMap((x) => [...x.objects, ...x.predictions]);
  const states = new Set(tracks.flatMap((x) => x.spans.map((span) => span.state)));
  const keys = Object.entries(LEGEND)
    .filter(([state]) => states.has(state))
    .map(([state, text]) =>
      element("span", {}, element("i", { class: `span ${state.replace(" ", "-")}` }), text),
    );
  if (tracks.some((x) => x.switches.length)) {
    keys.push(element("span", {}, element("i", { class: "switch" }), "ID switch"));
  }
  return element("p", { class: "legend" }, ...keys);
}
