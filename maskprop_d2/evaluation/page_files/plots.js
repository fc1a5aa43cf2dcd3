"use strict";

/* The two plots as SVG. A chosen category is highlighted in both. */

const PLOT_WIDTH = 560;

/* A bar for each category, the best first. A click on a bar calls `choose(id)`. */
function categoryPlot(scored, names, chosen, choose) {
  const rows = scored.by_category.filter((x) => x.AP !== null).sort((a, b) => b.AP - a.AP);
  const rowHeight = 26;
  const left = 130;
  const right = PLOT_WIDTH - 48;
  const bottom = rows.length * rowHeight + 4;
  const x = (value) => left + ((right - left) * value) / 100;
  const plot = svg("svg", { viewBox: `0 0 ${PLOT_WIDTH} ${bottom + 22}`, role: "img" });
  for (const tick of [0, 25, 50, 75, 100]) {
    plot.append(
      svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: 0, y2: bottom }),
      svg("text", { class: "tick", x: x(tick), y: bottom + 16, "text-anchor": "middle" }, `${tick}`),
    );
  }
  rows.forEach((row, i) => {
    const y = i * rowHeight + 4;
    const name = names[row.id];
    const ap50 = row.by_threshold[0];
    const state = chosen === null ? "" : row.id === chosen ? " chosen" : " other";
    const bar = svg(
      "g",
      { class: `bar${state}`, "data-category": row.id },
      svg("title", {}, `${name}: AP ${percent(row.AP)}, AP50 ${percent(ap50)}`),
      svg("rect", { class: "hit", x: 0, y: y - 2, width: PLOT_WIDTH, height: rowHeight }),
      svg("text", { x: left - 8, y: y + 15, "text-anchor": "end" }, shortened(name, 17)),
      svg("rect", { class: "light", x: left, y, width: x(ap50) - left, height: 20, rx: 3 }),
      svg("rect", { class: "dark", x: left, y, width: x(row.AP) - left, height: 20, rx: 3 }),
      svg("text", { x: x(Math.max(row.AP, ap50)) + 6, y: y + 15 }, percent(row.AP)),
    );
    bar.addEventListener("click", () => choose(row.id));
    plot.append(bar);
  });
  return plot;
}

/* AP at each IoU threshold over all categories, and as thin lines for each category. */
function thresholdPlot(scored, names, chosen) {
  const [left, right, top, bottom] = [40, PLOT_WIDTH - 20, 12, 262];
  const [first, last] = [scored.thresholds[0], scored.thresholds[scored.thresholds.length - 1]];
  const x = (value) => left + ((right - left) * (value - first)) / (last - first);
  const y = (value) => bottom - ((bottom - top) * value) / 100;
  const plot = svg("svg", { viewBox: `0 0 ${PLOT_WIDTH} ${bottom + 44}`, role: "img" });
  for (const tick of [0, 25, 50, 75, 100]) {
    plot.append(
      svg("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, `${tick}`),
    );
  }
  for (const tick of scored.thresholds) {
    plot.append(
      svg("text", { class: "tick", x: x(tick), y: bottom + 18, "text-anchor": "middle" }, tick.toFixed(2)),
    );
  }
  plot.append(
    svg("text", { class: "tick", x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, "IoU threshold"),
  );
  const line = (curve, style, name) => {
    if (curve.some((value) => value === null)) return;
    const points = curve.map((value, i) => `${x(scored.thresholds[i])},${y(value)}`).join(" ");
    plot.append(svg("polyline", { class: style, points }, svg("title", {}, name)));
  };
  for (const row of scored.by_category) line(row.by_threshold, "category", names[row.id]);
  line(scored.by_threshold, "overall", "all categories");
  const shown = scored.by_category.find((row) => row.id === chosen);
  if (shown) line(shown.by_threshold, "chosen", names[chosen]);
  const style = shown ? "chosen" : "overall";
  (shown ? shown.by_threshold : scored.by_threshold).forEach((value, i) => {
    if (value === null) return;
    const at = scored.thresholds[i];
    const title = `AP ${percent(value)} at IoU ${at.toFixed(2)}`;
    plot.append(
      svg("circle", { class: style, cx: x(at), cy: y(value), r: 4 }, svg("title", {}, title)),
      svg("text", { class: "value", x: x(at), y: y(value) - 10, "text-anchor": "middle" }, value.toFixed(0)),
    );
  });
  return plot;
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/* A bar for each kind of error, the most expensive first. */
function lostPlot(lost) {
  const rows = Object.entries(lost).sort((a, b) => b[1] - a[1]);
  const rowHeight = 26;
  const left = 130;
  const most = Math.max(...rows.map((x) => x[1]), 1e-9);
  const plot = svg("svg", { viewBox: `0 0 ${PLOT_WIDTH} ${rows.length * rowHeight + 4}`, role: "img" });
  rows.forEach(([kind, points], i) => {
    const y = i * rowHeight + 4;
    const width = ((PLOT_WIDTH - 60 - left) * Math.max(points, 0)) / most;
    plot.append(
      svg("text", { x: left - 8, y: y + 15, "text-anchor": "end" }, kind),
      svg("rect", { class: "cost", x: left, y, width, height: 20, rx: 3 }),
      svg("text", { x: left + width + 6, y: y + 15 }, points.toFixed(2)),
    );
  });
  return plot;
}
