// Runs in the head, before the theme's own lines and before anything is painted.
(() => {
  document.documentElement.classList.add("scripted");
  // A frame in a sandbox, or a strict browser, denies storage, and the theme stops at that: keep
  // what it stores while the page is open.
  for (const name of ["localStorage", "sessionStorage"]) {
    try {
      window[name].length;
    } catch {
      const kept = new Map();
      const value = {
        getItem: (key) => kept.get(key) ?? null,
        setItem: (key, text) => kept.set(key, String(text)),
        removeItem: (key) => kept.delete(key),
      };
      Object.defineProperty(window, name, { value });
    }
  }
  // The colours of light and dark hang on a name that the theme finds only after its scripts have
  // come. Until then the page would be painted without any, and move when they arrive.
  const mode = localStorage.getItem("mode") || "auto";
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem("mode", mode);
  localStorage.setItem("theme", mode === "auto" ? (dark ? "dark" : "light") : mode);
})();
