// "/" goes to the filter of the page, or to the search of everything where it has none; "?" shows all keys.
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const open = document.querySelector("dialog[open]");
  if (event.key === "/" && !open) {
    event.preventDefault();
    const filter = document.querySelector("[data-filter]");
    if (filter) filter.focus();
    else document.querySelector("[data-palette]")?.click();
  } else if (event.key === "?" && !open) {
    document.querySelector("#keys")?.showModal();
  }
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys]")) document.querySelector("#keys").showModal();
  // A click on the dialog itself is one beside what it holds, these two being full to their edges.
  if (event.target.matches("#keys, #palette")) event.target.close();
  event.target.closest("dialog [data-close]")?.closest("dialog").close();
});
