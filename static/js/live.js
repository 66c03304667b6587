// Live islands poll by hx-trigger="every 2s"; a hidden page asks for nothing, and the last answer stops asking.
// What somebody has unfolded, or types into, is not taken away meanwhile.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.triggeringEvent) return; // no poll: somebody clicked or typed
  if (document.hidden || event.target.querySelector("details[open], input:focus")) event.preventDefault();
});
document.addEventListener("htmx:afterSwap", () => {
  const titled = document.querySelector("[data-title]");
  if (titled) document.title = titled.dataset.title;
});
