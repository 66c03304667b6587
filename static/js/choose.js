// A box with data-choose-all checks or clears every box of the name that it says.
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-choose-all]");
  if (!all) return;
  for (const box of document.getElementsByName(all.dataset.chooseAll)) box.checked = all.checked;
});
