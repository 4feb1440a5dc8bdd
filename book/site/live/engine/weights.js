// From the bytes of a model file to weights: 8-bit integers, one scale a row, become floats again.

import { matrix } from "./layers.js";

// base64 text → bytes.
export function decode(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// Letters of 15 bits each → bytes, `count` of them. Large models are written so, in a script in UTF-16:
// base64 would make it a quarter longer. Letters begin above all that a script must escape, and end
// below those that stand for half a character.
const FIRST_LETTER = 0x100;
export function decodeWide(text, count) {
  const bytes = new Uint8Array(count);
  for (let i = 0, n = 0, bits = 0, held = 0; i < text.length; i++) {
    held = (held << 15) | (text.charCodeAt(i) - FIRST_LETTER);
    for (bits += 15; bits >= 8; ) bytes[n++] = held >> (bits -= 8);
    held &= (1 << bits) - 1;
  }
  return bytes;
}

// What zlib deflated → bytes. The browser does it, and says when a checksum is wrong.
export async function inflate(bytes) {
  if (!globalThis.DecompressionStream) {
    throw new Error("this browser is too old to unpack the model (it has no DecompressionStream)");
  }
  try {
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  } catch {
    throw new Error("the model arrived damaged");
  }
}

// `tensors` lists [name, shape, offset] for the bytes. Vectors are floats as they are; a matrix is
// a float scale for each row, then its integers. Returns a tree: blocks.0.attention.output.weight
// is tree.blocks[0].attention.output.weight.
export function unpack(tensors, bytes) {
  const tree = {};
  for (const [name, shape, offset, whole] of tensors) {
    place(tree, name.split("."), read(bytes, shape, offset, whole));
  }
  return tree;
}

function read(bytes, shape, offset, whole) {
  const floats = (count) => new Float32Array(bytes.slice(offset, offset + 4 * count).buffer);
  const [rows, cols = 1] = shape;
  if (shape.length === 1) return floats(rows);
  if (whole) return matrix(rows, cols, floats(rows * cols));
  const scales = floats(rows);
  const start = bytes.byteOffset + offset + 4 * rows;
  const integers = new Int8Array(bytes.buffer, start, rows * cols);
  const out = matrix(rows, cols);
  for (let row = 0, i = 0; row < rows; row++) {
    for (const end = i + cols; i < end; i++) out.data[i] = integers[i] * scales[row];
  }
  return out;
}

function place(tree, [first, ...rest], value) {
  if (rest.length === 0) tree[first] = value;
  else place((tree[first] ??= /^\d+$/.test(rest[0]) ? [] : {}), rest, value);
}
