// Before the widget player runs: where it lies (its fonts too), and MathJax 2's Hub, which it
// typesets through and MathJax 3 no longer has.
window.require = { baseUrl: new URL("npm/", document.currentScript.src).href };

// MathJax's own script is deferred, so it has run when the document is ready.
document.addEventListener("DOMContentLoaded", () => {
  window.MathJax = window.MathJax || {};
  window.MathJax.Hub = {
    Config() {},
    Configured() {},
    Queue(...calls) {
      for (const call of calls) {
        const nodes = Array.isArray(call) ? call.filter((part) => part instanceof Element) : [];
        if (window.MathJax.typesetPromise) window.MathJax.typesetPromise(nodes);
      }
    },
  };
});
