// The widget player typesets through MathJax 2's Hub, which MathJax 3 no longer has.
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
