// What each objective makes of a row of symbols: what is read, and what is asked. A label of −1 asks
// for nothing. Ids from the number of symbols on are marks.

export const LENGTH = 16; // symbols a row
export const MASKED = 4; // of them are masked
export const SPANS = 2; // or this many stretches are cut out
export const SPAN = 3; // of so many symbols

// Ids of the marks, which follow those of the symbols.
export const marks = (symbols) => ({
  mask: symbols,
  sentinels: Array.from({ length: SPANS }, (_, n) => symbols + 1 + n),
  vocabulary: 4 * Math.ceil((symbols + 1 + SPANS) / 4), // a multiple of four, for the products
});

export const objectives = {
  // Masked language modelling: some symbols become [MASK], and these are asked.
  masked(row, symbols, random) {
    const chosen = new Set(shuffled([...row.keys()], random).slice(0, MASKED));
    const { mask } = marks(symbols);
    return {
      input: row.map((id, t) => (chosen.has(t) ? mask : id)),
      labels: row.map((id, t) => (chosen.has(t) ? id : -1)),
    };
  },
  // Causal language modelling: every symbol is asked from those before it; the first is given.
  causal: (row) => ({ input: row.slice(0, -1), labels: row.slice(1) }),
  // Span corruption: a sentinel stands where a span was; the decoder goes on after the sentinel of
  // each span. All spans have one length, so where the next sentinel comes is no question.
  spans(row, symbols, random) {
    const { sentinels } = marks(symbols);
    const starts = spanStarts(random);
    const number = row.map((_, t) => starts.findIndex((start) => t >= start && t < start + SPAN));
    const input = row.flatMap((id, t) => {
      if (number[t] < 0) return [id];
      return starts.includes(t) ? [sentinels[number[t]]] : [];
    });
    const target = starts.flatMap((t, n) => [sentinels[n], ...row.slice(t, t + SPAN)]);
    const labels = target.slice(1).map((id) => (id < symbols ? id : -1));
    return { input, written: target.slice(0, -1), labels };
  },
};

// Where spans begin, so that at least one symbol is kept before, between and after them: the kept
// symbols are cut at random places.
function spanStarts(random) {
  const kept = LENGTH - SPANS * SPAN;
  const places = Array.from({ length: kept - 1 }, (_, n) => n + 1);
  const cuts = shuffled(places, random).slice(0, SPANS);
  return cuts.sort((a, b) => a - b).map((cut, n) => cut + n * SPAN);
}

function shuffled(items, random) {
  const keys = new Map(items.map((item) => [item, random()]));
  return [...items].sort((a, b) => keys.get(a) - keys.get(b));
}
