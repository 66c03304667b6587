// A box with data-choose-all checks or clears every box of the name that it says; what has data-chosen counts them.
const boxes = (name) => [...document.getElementsByName(name)];
const count = (place) => {
  const all = document.querySelector(`[name=matching][data-choose-all=${place.dataset.chosen}]`);
  const chosen = all?.checked ? Number(place.dataset.all) : boxes(place.dataset.chosen).filter((box) => box.checked).length;
  place.dataset.none ??= place.textContent;
  place.textContent = chosen ? `${chosen} chosen` : place.dataset.none;
};
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-choose-all]");
  for (const box of all ? boxes(all.dataset.chooseAll) : []) box.checked = all.checked;
  for (const matching of document.querySelectorAll("[name=matching]")) {
    if (matching !== event.target && !boxes(matching.dataset.chooseAll).every((box) => box.checked)) matching.checked = false;
  }
  document.querySelectorAll("[data-chosen]").forEach(count);
});
