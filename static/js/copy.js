// A button with data-copy copies the text of the element that it names.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
  button.setAttribute("data-done", "");
  const label = button.querySelector("span");
  if (label) {
    const before = label.textContent;
    label.textContent = "copied";
    setTimeout(() => { label.textContent = before; }, 1500);
  }
});
