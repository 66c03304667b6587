// A form with data-sending is sent once: its button rests meanwhile, and says so where files are on their way.
// A file that is larger than data-most is refused here already, beside its field, before it is sent in vain.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-sending]");
  if (!form || event.defaultPrevented) return;
  const button = form.querySelector("button[type=submit]");
  form.setAttribute("aria-busy", "true");
  button.disabled = true;
  const label = button.querySelector("span");
  if (label && form.querySelector("input[type=file]")) label.textContent = "Sending…";
});
document.addEventListener("change", (event) => {
  const input = event.target.closest("input[type=file][data-most]");
  if (!input) return;
  const most = Number(input.dataset.most);
  const sum = Array.from(input.files).reduce((size, file) => size + file.size, 0);
  const text = `At most ${most.toLocaleString("en")} bytes can be sent here; these are ${sum.toLocaleString("en")}.`;
  input.setCustomValidity(sum > most ? text : "");
  input.reportValidity();
});
// Back in the history: the page as it was left, with a button that rests.
window.addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector("form[data-sending][aria-busy]")) location.reload();
});
