"use strict";

/* Pictures of the worst cases of each kind of error: the part of a frame around the masks of an
   object and a prediction. */

const OBJECT_COLOR = "#4fd1ff";
const PREDICTION_COLOR = "#ff8a3d";
const CASE_WIDTH = 232;
const CASE_HEIGHT = 145;
const CASE_KINDS = {
  missed: "Objects that no track shows, by the recall that they lose.",
  category: "Objects whose tracks have another category, by the recall that they lose.",
  mask: "Objects whose masks do not fit, by the recall that they lose.",
  identity: "Objects that change tracks, or whose track shows another object, too, by the recall that they lose.",
  duplicate: "Further tracks of an object that has a better one, by score.",
  background: "Tracks that show no object, by score.",
};

const BY_SCORE = ["duplicate", "background"];

class Cases {
  /* `open(model, case)` is called when a picture is clicked. */
  constructor(summary, open) {
    this.models = summary.models;
    this.names = summary.categories;
    this.videos = new Map(summary.videos.map((x) => [x.id, x.name]));
    this.open = open;
    byId("cases").hidden = false;
    const kinds = kindsByCost(this.models);
    for (const kind of kinds) {
      const button = element("button", { type: "button", "data-kind": kind }, kind);
      button.addEventListener("click", () => this.show(kind));
      byId("case-kinds").append(button);
    }
    this.show(kinds[0]);
  }

  show(kind) {
    for (const button of byId("case-kinds").children) {
      button.classList.toggle("chosen", button.dataset.kind === kind);
    }
    byId("case-facts").replaceChildren(
      `${CASE_KINDS[kind]} `,
      ...keyElements([
        { text: "object", color: OBJECT_COLOR, style: "box" },
        { text: "prediction", color: PREDICTION_COLOR, style: "box" },
      ]),
    );
    const nodes = this.models.flatMap(({ name, scored }, m) => {
      const cases = scored.cases[kind];
      const title = this.models.length > 1 ? [element("h3", {}, name)] : [];
      const pictures = cases.map((x) => this.picture(kind, m, x));
      const none = cases.length ? [] : [element("p", {}, "none")];
      return [...title, element("div", { class: "cases" }, ...pictures, ...none)];
    });
    byId("case-list").replaceChildren(...nodes);
  }

  picture(kind, model, item) {
    const canvas = element("canvas", { width: 2 * CASE_WIDTH, height: 2 * CASE_HEIGHT });
    const { object, prediction } = item;
    const facts = object ? [this.names[object.category]] : [];
    if (prediction) {
      const as = object ? "as " : "";
      facts.push(`${as}${this.names[prediction.category]} ${scoreText(prediction.score)}`);
    }
    if (!BY_SCORE.includes(kind)) facts.push(`−${percent(item.cost, 0)} % recall`);
    const node = element(
      "button",
      { type: "button", class: "case" },
      canvas,
      element("b", {}, `${this.videos.get(item.video)}, frame ${item.frame}`),
      element("small", {}, facts.join(" · ")),
    );
    node.addEventListener("click", () => this.open(model, item));
    drawCase(canvas, item);
    return node;
  }
}

async function drawCase(canvas, item) {
  const image = await loadBitmap(item.url);
  const context = canvas.getContext("2d");
  const shapes = [
    [item.object, OBJECT_COLOR],
    [item.prediction, PREDICTION_COLOR],
  ]
    .filter(([track]) => track && track.mask)
    .map(([track, color]) => ({ color, shape: maskShape(track.mask, item.height) }))
    .filter((x) => x.shape);
  const box = cropAround(shapes.map((x) => x.shape), item.width, item.height);
  const scale = canvas.width / box.width;
  if (image) {
    // Masks are in pixels of the annotations, frames may have another size.
    const ratio = image.width / item.width;
    const source = [box.x, box.y, box.width, box.height].map((x) => x * ratio);
    context.drawImage(image, ...source, 0, 0, canvas.width, canvas.height);
    image.close();
  }
  context.translate(-box.x * scale, -box.y * scale);
  for (const { color, shape } of shapes) drawMask(context, shape, color, scale, 2, 0.25);
}

/* A part of the frame in the shape of the picture, with the shapes and some of what is around them. */
function cropAround(shapes, width, height) {
  const aspect = CASE_WIDTH / CASE_HEIGHT;
  const left = Math.min(...shapes.map((x) => x.left), width);
  const right = Math.max(...shapes.map((x) => x.right), 0);
  const top = Math.min(...shapes.map((x) => x.top), height);
  const bottom = Math.max(...shapes.map((x) => x.bottom), 0);
  const most = Math.max(width, height * aspect);
  const wanted = Math.max(1.5 * (right - left), 1.5 * (bottom - top) * aspect, most / 3);
  const size = { width: Math.min(wanted, most), height: Math.min(wanted, most) / aspect };
  const within = (middle, length, all) =>
    length > all ? (all - length) / 2 : Math.max(0, Math.min(middle - length / 2, all - length));
  return {
    x: within((left + right) / 2, size.width, width),
    y: within((top + bottom) / 2, size.height, height),
    ...size,
  };
}
