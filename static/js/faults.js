// What is told beside a field comes anew with each estimate: a field with a fault says so itself, and is unfolded.
document.addEventListener("htmx:afterSettle", () => {
  for (const field of document.querySelectorAll("[data-told]")) {
    const wrong = document.getElementById(field.dataset.told).querySelector(".fault");
    if (wrong) {
      field.setAttribute("aria-invalid", "true");
      field.closest("details")?.setAttribute("open", "");
    } else {
      field.removeAttribute("aria-invalid");
    }
  }
});
