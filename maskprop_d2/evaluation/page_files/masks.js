"use strict";

/* Converts compressed RLEs to paths that are exact to the pixel. */

/* The lengths of alternating runs of zeros and ones, column by column. They are written as numbers in
   base 32, low digits first, with a continuation bit and sign extension; from the fourth run on, as
   the difference to the run before the last. */
function runLengths(counts) {
  const runs = [];
  for (let i = 0; i < counts.length; ) {
    let value = 0;
    let shift = 0;
    let digit;
    do {
      digit = counts.charCodeAt(i++) - 48;
      value |= (digit & 31) << shift;
      shift += 5;
    } while (digit & 32);
    if (digit & 16) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/* For each column x of the mask its rows as [start, end, start, end, ...]. */
function maskColumns(counts, height) {
  const columns = new Map();
  let at = 0;
  runLengths(counts).forEach((run, i) => {
    const end = at + run;
    while (i % 2 && at < end) {
      const x = Math.floor(at / height);
      const stop = Math.min(end, (x + 1) * height);
      if (!columns.has(x)) columns.set(x, []);
      columns.get(x).push(at - x * height, stop - x * height);
      at = stop;
    }
    at = end;
  });
  return columns;
}

/* The area and the outline of a mask as paths in pixels of the frame, and its bounding box. Null for
   an empty mask. */
function maskShape(counts, height) {
  const columns = maskColumns(counts, height);
  if (!columns.size) return null;
  const area = new Path2D();
  const outline = new Path2D();
  let left = Infinity;
  let right = 0;
  let top = Infinity;
  let bottom = 0;
  for (const [x, rows] of columns) {
    for (let i = 0; i < rows.length; i += 2) {
      area.rect(x, rows[i], 1, rows[i + 1] - rows[i]);
      for (const y of [rows[i], rows[i + 1]]) addLine(outline, x, y, x + 1, y);
    }
    addSide(outline, x, columns.get(x - 1) || [], rows);
    if (!columns.has(x + 1)) addSide(outline, x + 1, rows, []);
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, rows[0]);
    bottom = Math.max(bottom, rows[rows.length - 1]);
  }
  return { area, outline, left, right, top, bottom };
}

/* Adds the outline between two columns: it runs where exactly one of them belongs to the mask, which
   is between each odd and the next even end, sorted. */
function addSide(outline, x, before, after) {
  const ends = [...before, ...after].sort((a, b) => a - b);
  for (let i = 0; i < ends.length; i += 2) {
    if (ends[i] < ends[i + 1]) addLine(outline, x, ends[i], x, ends[i + 1]);
  }
}

function addLine(path, x0, y0, x1, y1) {
  path.moveTo(x0, y0);
  path.lineTo(x1, y1);
}
