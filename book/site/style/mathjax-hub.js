// The widget player typesets through MathJax 2's Hub, which MathJax 3 no longer has.
window.MathJax = window.MathJax || {};
window.MathJax.Hub = window.MathJax.Hub || {
  Config() {},
  Configured() {},
  Queue(call) {
    const nodes = Array.isArray(call) ? call.slice(2).flat() : [];
    if (window.MathJax.typesetPromise) {
      window.MathJax.typesetPromise(nodes.filter((node) => node instanceof Element));
    }
  },
};
