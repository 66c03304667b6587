// The command palette: Ctrl K opens it, arrows choose among what the server found, Enter goes there.
(() => {
  const palette = document.querySelector("#palette");
  if (!palette) return;
  const box = palette.querySelector("[role=combobox]");
  const results = palette.querySelector("#results");
  let behind = false; // whether what is shown is of an older text than what is typed
  let wanted = false; // Enter came before the answer

  const options = () => [...results.querySelectorAll("[role=option]")];
  const chosen = () => results.querySelector("[aria-selected=true]");
  const choose = (option) => {
    chosen()?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) box.setAttribute("aria-activedescendant", option.id);
    else box.removeAttribute("aria-activedescendant");
  };
  const open = () => {
    document.querySelector("dialog[open]:not(#palette)")?.close();
    if (!palette.open) {
      box.value = "";
      palette.showModal();
      htmx.trigger(box, "opened");
    }
    box.select();
  };

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette], #search")) open();
  });
  box.addEventListener("input", () => {
    behind = true;
    choose(null);
  });
  results.addEventListener("htmx:afterSwap", () => {
    behind = false;
    const all = options();
    box.setAttribute("aria-expanded", String(all.length > 0));
    palette.querySelector("#said").textContent = results.querySelector("[data-said]")?.dataset.said ?? "";
    choose(all[0]);
    if (wanted) all[0]?.click();
    wanted = false;
  });
  box.addEventListener("keydown", (event) => {
    const all = options();
    const at = all.indexOf(chosen());
    const moves = { ArrowDown: at + 1, ArrowUp: at < 0 ? all.length - 1 : at - 1 };
    if (event.key in moves && all.length) {
      event.preventDefault();
      choose(all[(moves[event.key] + all.length) % all.length]);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (behind) wanted = true;
      else if (chosen() && (event.ctrlKey || event.metaKey)) window.open(chosen().href, "_blank", "noopener");
      else chosen()?.click();
    }
  });
  // Who comes back to this page, or stays on it, finds the palette closed.
  results.addEventListener("click", (event) => {
    if (event.target.closest("[role=option]") && !event.ctrlKey && !event.metaKey) palette.close();
  });
  results.addEventListener("mousemove", (event) => {
    const under = event.target.closest("[role=option]");
    if (under && under !== chosen()) choose(under);
  });
})();
