// The search page: finds what the index leaves out, numbers and signs, and shows where a page says
// what was asked for. The text of all pages is in searchtexts.js, so nothing is fetched.

const AROUND = 90; // characters on either side of what was found

// Where a text first says the query, or else one of its words: [from, to], or null.
function placeOf(text, query) {
  const low = text.toLowerCase();
  const words = query.split(/\s+/);
  const stems = words.map((word) => new Stemmer().stemWord(word));
  for (const wanted of [query, ...words, ...stems].filter((word) => word.length > 1)) {
    const from = low.indexOf(wanted);
    if (from >= 0) return [from, from + wanted.length];
  }
  return null;
}

function excerpt(text, query) {
  const [from, to] = placeOf(text, query) ?? [0, 0];
  const start = from > AROUND ? text.indexOf(" ", from - AROUND) + 1 : 0;
  const end = to + AROUND < text.length ? text.lastIndexOf(" ", to + AROUND) : text.length;
  const line = document.createElement("p");
  const found = document.createElement("mark");
  found.textContent = text.slice(from, to);
  line.className = "context";
  line.append(start ? "… " : "", text.slice(Math.min(start, from), from), found);
  line.append(text.slice(to, Math.max(end, to)), end < text.length ? " …" : "");
  return line;
}

// Pages that say the query letter for letter come first; the last of a list is shown first.
function withLiteral(found, query) {
  if (!/[^\p{L}\s]/u.test(query)) return found; // words are in the index
  const { docnames, titles, filenames } = Search._index;
  const saying = docnames.filter((name) => searchTexts[name]?.toLowerCase().includes(query));
  const hits = saying.map((name) => {
    const i = docnames.indexOf(name);
    return [name, titles[i], "", null, 0, filenames[i]];
  });
  return [...found.filter(([name]) => !saying.includes(name)), ...hits.reverse()];
}

// Before Sphinx's own script searches, for it waits for the same event and was loaded later.
document.addEventListener("DOMContentLoaded", () => {
  const query = (new URLSearchParams(location.search).get("q") ?? "").trim().toLowerCase();
  const search = Search._performSearch;
  Search._performSearch = (...details) => withLiteral(search(...details), query);
  new MutationObserver((changes) => {
    for (const item of changes.flatMap((change) => [...change.addedNodes])) {
      const name = item.querySelector?.("a")?.getAttribute("href").split(".html")[0];
      if (item.matches?.("li") && searchTexts[name]) item.append(excerpt(searchTexts[name], query));
    }
  }).observe(document.getElementById("search-results"), { childList: true, subtree: true });
});
