// The course's tokenizer: byte-level BPE. A text becomes bytes, and pairs of neighbours are merged
// in the order in which training found them. Nothing is lost, and there is no unknown piece.

const SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "<eos>"]; // ids 0 to 4
const SENTINELS = 64; // <extra_id_0> is the highest id, the others descend
const FIRST_BYTE = SPECIAL.length;
const FIRST_MERGE = FIRST_BYTE + 256;

// GPT-2's cut into words before any merge: a piece never crosses such a border.
const WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const MARKS = /\[PAD\]|\[CLS\]|\[SEP\]|\[MASK\]|<eos>|<extra_id_(?:[0-9]|[1-5][0-9]|6[0-3])>/g;
const SPACE = /\p{White_Space}/u;

// Bytes in the order of their ids: printable ones stand for themselves, the others for letters from
// 256 on, and ids follow those letters (Radford et al. 2019; the letters are in GPT-2's code).
function byteOrder() {
  const printable = (b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  const all = [...Array(256).keys()];
  return [...all.filter(printable), ...all.filter((b) => !printable(b))];
}

export class Tokenizer {
  // merges: pairs of ids, one after another; merge number k makes the piece FIRST_MERGE + k.
  constructor(merges) {
    this.vocabSize = FIRST_MERGE + merges.length / 2 + SENTINELS;
    this.bytes = byteOrder().map((byte) => [byte]); // of each id from FIRST_BYTE on
    this.idOfByte = new Map(this.bytes.map(([byte], i) => [byte, FIRST_BYTE + i]));
    this.ranks = new Map();
    for (let k = 0; k < merges.length; k += 2) {
      const [left, right] = [merges[k], merges[k + 1]];
      this.ranks.set(left * this.vocabSize + right, k / 2);
      this.bytes.push([...this.bytes[left - FIRST_BYTE], ...this.bytes[right - FIRST_BYTE]]);
    }
    this.known = new Map(); // words met before
  }

  // Text → ids. Marks such as [MASK] in the text become their own ids.
  encode(text) {
    return this.words(text).flat();
  }

  // Text → the ids of each word. Marks that stand for a piece, [MASK] and the sentinels, swallow the
  // space before them, because a piece carries its space.
  words(text) {
    let [words, end] = [[], 0];
    for (const { 0: mark, index } of text.matchAll(MARKS)) {
      let stop = index;
      const swallows = mark === "[MASK]" || mark.startsWith("<extra");
      while (swallows && stop > end && SPACE.test(text[stop - 1])) stop--;
      words = words.concat(this.plainWords(text.slice(end, stop)), [[this.idOf(mark)]]);
      end = index + mark.length;
    }
    return words.concat(this.plainWords(text.slice(end)));
  }

  plainWords(text) {
    return (text.match(WORDS) ?? []).map((word) => {
      if (!this.known.has(word)) this.known.set(word, this.merge(word));
      return this.known.get(word);
    });
  }

  // One word: merge the pair that training merged first, until no pair is left that it merged. Pairs
  // wait under their rank. A merge makes only pairs of higher ranks, so each place is visited a few
  // times, however long the word is.
  merge(word) {
    const ids = Array.from(new TextEncoder().encode(word), (byte) => this.idOfByte.get(byte));
    const next = ids.map((_, place) => place + 1);
    const before = ids.map((_, place) => place - 1);
    const waiting = new Map(); // rank → places of the left pieces
    const wait = (place) => {
      const rank = this.rank(ids[place], ids[next[place]]);
      if (rank === Infinity) return;
      if (!waiting.has(rank)) waiting.set(rank, []);
      waiting.get(rank).push(place);
    };
    ids.forEach((_, place) => wait(place));
    while (waiting.size) {
      const best = Math.min(...waiting.keys());
      for (const place of waiting.get(best).sort((a, b) => a - b)) {
        const right = next[place];
        if (this.rank(ids[place], ids[right]) !== best) continue; // merged with another meanwhile
        ids[place] = FIRST_MERGE + best;
        ids[right] = undefined;
        next[place] = next[right];
        before[next[right]] = place;
        wait(before[place]);
        wait(place);
      }
      waiting.delete(best);
    }
    return ids.filter((id) => id !== undefined);
  }

  rank(left, right) {
    return this.ranks.get(left * this.vocabSize + right) ?? Infinity;
  }

  idOf(mark) {
    const special = SPECIAL.indexOf(mark);
    return special >= 0 ? special : this.vocabSize - 1 - Number(mark.match(/\d+/)[0]);
  }

  // The name of an id that stands for no text, else null.
  mark(id) {
    if (id < FIRST_BYTE) return SPECIAL[id];
    const sentinel = this.vocabSize - 1 - id;
    return sentinel < SENTINELS ? `<extra_id_${sentinel}>` : null;
  }

  // Ids → text.
  decode(ids) {
    const bytes = [];
    let text = "";
    const flush = () => {
      text += new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
      bytes.length = 0;
    };
    for (const id of ids) {
      const mark = this.mark(id);
      if (mark === null) bytes.push(...this.bytes[id - FIRST_BYTE]);
      else {
        flush();
        text += mark;
      }
    }
    flush();
    return text;
  }

  // One piece as text to look at: half a letter is shown as its bytes.
  show(id) {
    const mark = this.mark(id);
    if (mark !== null) return mark;
    const bytes = this.bytes[id - FIRST_BYTE];
    try {
      const strict = { fatal: true, ignoreBOM: true };
      return new TextDecoder("utf-8", strict).decode(Uint8Array.from(bytes));
    } catch {
      return bytes.map((byte) => `⟨${byte.toString(16).padStart(2, "0")}⟩`).join("");
    }
  }
}
