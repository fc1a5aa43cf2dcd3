"use strict";

/* Helpers to make elements, and formats and colours that all parts of the page share. Text is always
   inserted as text, so that names in the data are never parsed as markup. */

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

function percent(value, digits = 1) {
  return value === null ? "–" : value.toFixed(digits);
}

function plural(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : noun.endsWith("h") ? "es" : "s"}`;
}

/* The colour of an identity. The golden angle spreads any number of hues evenly; consecutive colours
   differ in lightness, too. */
function identityColor(number) {
  const lightness = [0.7, 0.62, 0.8][number % 3];
  return `oklch(${lightness} 0.18 ${(250 + 137.508 * number) % 360})`;
}

/* The colour of a model, where several are compared. */
function modelColor(i) {
  const colors = ["#2f5fd0", "#d9541e", "#22854f", "#8a3fa8", "#b08400", "#0f8a94"];
  return colors[i % colors.length];
}

/* Entries of a key: a line or box in a colour or class, and a text. */
function keyElements(entries) {
  return entries.flatMap(({ text, color, style }) => [
    element("i", { class: style || "line", ...(color ? { style: `background:${color}` } : {}) }),
    ` ${text} `,
  ]);
}
