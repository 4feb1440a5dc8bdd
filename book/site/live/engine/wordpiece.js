// BERT's tokenizer for English without case (Devlin et al. 2019): a text becomes words, and each word
// the longest pieces that the vocabulary has, from left to right. A word of which some part is no piece
// becomes [UNK]. The same as Hugging Face's, rule for rule.

const MARKS = /\[(?:PAD|UNK|CLS|SEP|MASK)\]/g;
const LONGEST = 100; // letters of a word; a longer one is unknown
// Chinese characters, one word each: CJK blocks, without the signs of Japanese and Korean.
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const CONTROL = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\ufffd]/gu;
// One sign of punctuation, or a word without any; all that ASCII has beside letters counts as such.
const WORDS = /[\p{P}$+<=>^`|~]|[^\p{P}\p{White_Space}$+<=>^`|~]+/gu;

// Without control characters, accents and capitals.
export function plain(text) {
  const apart = text.replace(CONTROL, "").replace(CHINESE, " $& ");
  const bare = apart.normalize("NFD").replace(/\p{Mn}/gu, "");
  return Array.from(bare, (letter) => letter.toLowerCase()).join("");
}

export class WordPiece {
  // pieces: the vocabulary in the order of its ids; one that goes on within a word begins with ##.
  constructor(pieces) {
    this.pieces = pieces;
    this.ids = new Map(pieces.map((piece, id) => [piece, id]));
  }

  idOf(piece) {
    return this.ids.get(piece);
  }

  // Text → ids, without [CLS] and [SEP]. Marks such as [MASK] in the text become their own ids.
  encode(text) {
    const ids = [];
    let end = 0;
    for (const { 0: mark, index } of text.matchAll(MARKS)) {
      ids.push(...this.words(text.slice(end, index)), this.idOf(mark));
      end = index + mark.length;
    }
    return ids.concat(this.words(text.slice(end)));
  }

  words(text) {
    return (plain(text).match(WORDS) ?? []).flatMap((word) => this.split([...word]));
  }

  // The letters of one word → ids of its pieces.
  split(letters) {
    const unknown = [this.idOf("[UNK]")];
    if (letters.length > LONGEST) return unknown;
    const ids = [];
    for (let start = 0, end; start < letters.length; start = end) {
      const piece = (stop) => (start ? "##" : "") + letters.slice(start, stop).join("");
      for (end = letters.length; end > start && !this.ids.has(piece(end)); ) end--;
      if (end === start) return unknown;
      ids.push(this.idOf(piece(end)));
    }
    return ids;
  }
}
