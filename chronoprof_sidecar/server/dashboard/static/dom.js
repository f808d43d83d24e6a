// Finding and making nodes. All text goes in as text: no module of this page parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element with this id, which index.html has. */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`index.html has no #${id}`);
  return node;
}

/** Make an element: attributes by name (undefined and false leave one out), then its children. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of a picture. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Set the text of a node, and touch nothing if it is there already. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute, or remove it for undefined and false; touch nothing if it is so already. */
export function setAttribute(node, name, value) {
  if (value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Give a `select` these options, `[[value, text], …]`, and choose one; touch nothing if they are there already. */
export function setOptions(select, options, chosen) {
  const known = [...select.options].map((option) => `${option.value}\n${option.text}`).join("\n");
  if (known !== options.map(([value, text]) => `${value}\n${text}`).join("\n")) {
    select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  }
  if (select.value !== chosen) select.value = chosen;
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children);
  return node;
}
