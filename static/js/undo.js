// An Undo button is offered for ten seconds, and longer while somebody points at it or has reached it by the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  const withdraw = (form) => {
    if (form.matches(":hover, :focus-within")) setTimeout(withdraw, 1000, form);
    else form.remove();
  };
  for (const form of document.querySelectorAll("[data-undo]")) setTimeout(withdraw, 10_000, form);
});
