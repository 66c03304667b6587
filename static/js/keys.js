// "/" goes to the filter of the page, Ctrl K to the search of everything.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  const search = document.querySelector("#search");
  if (event.key === "k" && (event.ctrlKey || event.metaKey) && search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "/" && !typing) {
    const filter = document.querySelector("[data-filter]") || search;
    if (filter) {
      event.preventDefault();
      filter.focus();
    }
  }
});
