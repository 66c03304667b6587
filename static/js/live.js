// Live islands poll by hx-trigger="every 2s"; a hidden page asks for nothing, and the last answer stops asking.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.requestConfig.triggeringEvent?.type !== "click") event.preventDefault();
});
document.addEventListener("htmx:afterSwap", () => {
  const titled = document.querySelector("[data-title]");
  if (titled) document.title = titled.dataset.title;
});
