"use strict";

/* The plots as SVG. `models` are those of the summary. Of one model, more is shown than of several
   beside each other; a chosen category is highlighted. */

const PLOT_WIDTH = 560;
const TRACKING = { HOTA: "#2f5fd0", DetA: "#22854f", AssA: "#8a3fa8", LocA: "#8b93a1" };

/* A bar for each category and model, the best first. A click on a bar calls `choose(id)`. */
function categoryPlot(models, names, chosen, choose) {
  const tables = models.map((x) => new Map(x.scored.by_category.map((row) => [row.id, row])));
  const rows = models[0].scored.by_category
    .filter((x) => x.AP !== null)
    .sort((a, b) => b.AP - a.AP);
  const single = models.length === 1;
  const barHeight = single ? 20 : 12;
  const rowHeight = models.length * barHeight + 6;
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
  rows.forEach(({ id }, i) => {
    const y = i * rowHeight + 4;
    const state = chosen === null ? "" : id === chosen ? " chosen" : " other";
    const bar = svg(
      "g",
      { class: `bar${state}`, "data-category": id },
      svg("rect", { class: "hit", x: 0, y: y - 2, width: PLOT_WIDTH, height: rowHeight }),
      svg("text", { x: left - 8, y: y + rowHeight / 2 + 2, "text-anchor": "end" }, shortened(names[id], 17)),
    );
    tables.forEach((table, m) => {
      const { AP: ap, by_threshold: curve } = table.get(id);
      const at = { x: left, y: y + m * barHeight, height: barHeight - (single ? 0 : 2), rx: 2 };
      const fill = single ? {} : { style: `fill:${modelColor(m)}` };
      bar.append(
        svg("title", {}, `${names[id]}: AP ${percent(ap)}, AP50 ${percent(curve[0])}`),
        ...(single ? [svg("rect", { class: "light", ...at, width: x(curve[0]) - left })] : []),
        svg("rect", { class: "dark", ...at, ...fill, width: x(ap) - left }),
        svg(
          "text",
          { class: single ? "" : "tick", x: x(single ? Math.max(ap, curve[0]) : ap) + 6, y: at.y + barHeight * 0.78 },
          percent(ap),
        ),
      );
    });
    bar.addEventListener("click", () => choose(id));
    plot.append(bar);
  });
  return plot;
}

/* AP at each IoU threshold: of one model also of each category, as thin lines. */
function thresholdPlot(models, names, chosen) {
  const { thresholds, by_category: categories } = models[0].scored;
  const lines = models.map(({ name, scored }, m) => {
    const row = scored.by_category.find((x) => x.id === chosen);
    const style = row ? "chosen" : "overall";
    const color = models.length > 1 ? modelColor(m) : undefined;
    const title = [row ? names[chosen] : "all categories", ...(color ? [name] : [])].join(", ");
    return { curve: row ? row.by_threshold : scored.by_threshold, style, color, title, marked: true };
  });
  if (models.length === 1) {
    if (chosen !== null) {
      lines.unshift({ curve: models[0].scored.by_threshold, style: "overall", title: "all categories" });
    }
    lines.unshift(
      ...categories.map((x) => ({ curve: x.by_threshold, style: "category", title: names[x.id] })),
    );
  }
  return curvePlot(thresholds, lines, "AP", models.length === 1);
}

/* HOTA at each IoU threshold; of one model also what it is made of. */
function hotaPlot(models, names, chosen) {
  const lines = models.flatMap(({ name, scored }, m) => {
    const row = scored.by_category.find((x) => x.id === chosen);
    const curves = row ? row.tracking : scored.tracking;
    const shown = models.length === 1 ? Object.keys(TRACKING).reverse() : ["HOTA"];
    return shown.map((key) => ({
      curve: curves[key],
      style: key === "HOTA" ? "overall" : "part",
      color: models.length === 1 ? TRACKING[key] : modelColor(m),
      title: models.length === 1 ? key : name,
    }));
  });
  return curvePlot(models[0].scored.alphas, lines, "HOTA", false);
}

/* Lines over the thresholds, in percent; points of marked ones tell their values. */
function curvePlot(thresholds, lines, what, values) {
  const [left, right, top, bottom] = [40, PLOT_WIDTH - 20, 12, 262];
  const [first, last] = [thresholds[0], thresholds[thresholds.length - 1]];
  const x = (value) => left + ((right - left) * (value - first)) / (last - first);
  const y = (value) => bottom - ((bottom - top) * value) / 100;
  const plot = svg("svg", { viewBox: `0 0 ${PLOT_WIDTH} ${bottom + 44}`, role: "img" });
  for (const tick of [0, 25, 50, 75, 100]) {
    plot.append(
      svg("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, `${tick}`),
    );
  }
  const every = thresholds.length > 12 ? 2 : 1;
  thresholds
    .filter((_, i) => i % every === 0)
    .forEach((tick) => {
      const at = { class: "tick", x: x(tick), y: bottom + 18, "text-anchor": "middle" };
      plot.append(svg("text", at, tick.toFixed(2)));
    });
  plot.append(
    svg("text", { class: "tick", x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, "IoU threshold"),
  );
  for (const { curve, style, color, title, marked } of lines) {
    if (!curve || curve.some((value) => value === null)) continue;
    const points = curve.map((value, i) => `${x(thresholds[i])},${y(value)}`).join(" ");
    const stroke = color ? { style: `stroke:${color}` } : {};
    plot.append(svg("polyline", { class: style, points, ...stroke }, svg("title", {}, title)));
    if (!marked) continue;
    const fill = color ? { style: `fill:${color}` } : {};
    curve.forEach((value, i) => {
      const text = `${title}: ${what} ${percent(value)} at IoU ${thresholds[i].toFixed(2)}`;
      const at = { class: style, cx: x(thresholds[i]), cy: y(value), r: 4, ...fill };
      plot.append(svg("circle", at, svg("title", {}, text)));
      if (!values) return;
      const label = { class: "value", x: x(thresholds[i]), y: y(value) - 10, "text-anchor": "middle" };
      plot.append(svg("text", label, value.toFixed(0)));
    });
  }
  return plot;
}

/* A bar for each kind of error and model, the most expensive first. */
function lostPlot(models) {
  const kinds = kindsByCost(models);
  const values = models.flatMap((x) => Object.values(x.scored.lost));
  const barHeight = models.length === 1 ? 20 : 12;
  const rowHeight = models.length * barHeight + 6;
  const left = 130;
  const most = Math.max(...values, 1e-9);
  const plot = svg("svg", { viewBox: `0 0 ${PLOT_WIDTH} ${kinds.length * rowHeight + 4}`, role: "img" });
  kinds.forEach((kind, i) => {
    const top = i * rowHeight + 4;
    plot.append(svg("text", { class: "kind", x: left - 8, y: top + rowHeight / 2 + 2, "text-anchor": "end" }, kind));
    models.forEach(({ scored }, m) => {
      const points = scored.lost[kind];
      const y = top + m * barHeight;
      const width = ((PLOT_WIDTH - 60 - left) * Math.max(points, 0)) / most;
      const fill = models.length === 1 ? {} : { style: `fill:${modelColor(m)}` };
      plot.append(
        svg("rect", { class: "cost", x: left, y, width, height: barHeight - (m || models.length > 1 ? 2 : 0), rx: 2, ...fill }),
        svg("text", { class: models.length === 1 ? "" : "tick", x: left + width + 6, y: y + barHeight * 0.78 }, points.toFixed(2)),
      );
    });
  });
  return plot;
}

/* The kinds of error, those that cost the first model most first. */
function kindsByCost(models) {
  return Object.entries(models[0].scored.lost)
    .sort((a, b) => b[1] - a[1])
    .map((x) => x[0]);
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
