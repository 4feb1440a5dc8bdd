// As much of a browser's document as the figures need to be drawn without a browser, when the book
// is built. What is drawn can be read back as HTML; nothing can be pressed here.

const VOID = ["img", "input", "br"];
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");

class Node {
  constructor(tag) {
    Object.assign(this, { tag, attributes: {}, children: [], style: {}, dataset: {} });
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
  }
  append(...children) {
    this.children.push(...children);
  }
  replaceChildren(...children) {
    this.children = children;
  }
  set textContent(text) {
    this.children = [text];
  }
  get textContent() {
    return this.children.map((child) => child.textContent ?? String(child)).join("");
  }
  set id(value) {
    this.setAttribute("id", value);
  }
  set tabIndex(value) {
    this.setAttribute("tabindex", value);
  }
  get childNodes() {
    return this.children;
  }
  addEventListener() {}
  querySelector() {
    return null;
  }
  querySelectorAll() {
    return [];
  }
}

// A node as HTML. What a reader may write into has its text.
export function html(node) {
  if (!(node instanceof Node)) return escape(String(node));
  const attributes = Object.entries(node.attributes).map(([k, v]) => ` ${k}="${escape(v)}"`);
  if (node.tag === "input" && node.value != null) attributes.push(` value="${escape(`${node.value}`)}"`);
  const inside = node.tag === "textarea" ? escape(node.value ?? "") : node.children.map(html).join("");
  const end = VOID.includes(node.tag) ? "" : `${inside}</${node.tag}>`;
  return `<${node.tag}${attributes.join("")}>${end}`;
}

export const place = (name) => Object.assign(new Node("div"), { dataset: { live: name } });

Object.assign(globalThis, {
  window: globalThis,
  self: {},
  addEventListener() {},
  matchMedia: () => ({ matches: false, addEventListener() {} }),
  document: {
    currentScript: { src: "file:///live/live.js" },
    createElement: (tag) => new Node(tag),
    createElementNS: (space, tag) => new Node(tag),
    querySelectorAll: () => [],
    addEventListener() {},
  },
});
