// A form with data-ask asks once and puts every answer into its column as it comes, one JSON object a line.
(() => {
  const form = document.querySelector("[data-ask]");
  if (!form) return;
  const columns = [...document.querySelectorAll("[data-column]")];
  const [problem, state, stop] = ["problem", "state", "stop"].map((name) => form.querySelector(`[data-${name}]`));
  const PATIENCE = 15, PAUSE = 2000; // so often it asks again where others hold all places
  let asking = null;

  const part = (column, name) => column.querySelector(`[data-${name}]`);
  const seconds = (value) => (value === null ? "–" : value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`);
  const begin = (column) => {
    column.dataset.open = "";
    part(column, "text").textContent = "";
    part(column, "error").hidden = true;
    part(column, "times").hidden = true;
    part(column, "badge").hidden = true;
    column.setAttribute("aria-busy", "true");
  };
  const end = (column) => {
    delete column.dataset.open;
    column.removeAttribute("aria-busy");
  };
  const fail = (column, text, command) => {
    const [words, pre] = part(column, "error").children;
    words.textContent = text;
    pre.textContent = command || "";
    pre.hidden = !command;
    part(column, "error").hidden = false;
    end(column);
  };
  const finish = (column, done) => {
    const speed = done.tokens > 1 && done.total > done.first ? (done.tokens - 1) / (done.total - done.first) : null;
    const said = {
      first: seconds(done.first),
      total: seconds(done.total),
      tokens: done.tokens === null ? "–" : `${done.tokens}${speed ? `, ${speed.toFixed(0)}/s` : ""}`,
      finish: done.finish === "length" ? "max tokens" : done.finish || "–",
    };
    for (const [name, text] of Object.entries(said)) column.querySelector(`[data-value="${name}"]`).textContent = text;
    if (!part(column, "text").textContent) part(column, "text").textContent = "(an empty answer)";
    part(column, "times").hidden = false;
    end(column);
  };
  const take = (line) => {
    if (!line.trim()) return;
    const told = JSON.parse(line);
    const meant = "column" in told ? [columns[told.column]] : columns.filter((one) => "open" in one.dataset);
    for (const column of meant) {
      const text = part(column, "text");
      if (told.text) {
        if (!text.dataset.begun) text.textContent = "";
        text.dataset.begun = "1";
        text.textContent += told.text;
      }
      if (told.waiting) text.textContent = told.waiting;
      if (told.done) finish(column, told.done);
      if (told.error) fail(column, told.error, told.command);
    }
  };
  const refuse = (text, name) => {
    problem.textContent = text;
    problem.hidden = false;
    columns.forEach(end);
    form.elements.namedItem(name || "")?.focus?.();
  };
  const read = async (answer) => {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      lines.forEach(take);
    }
  };
  const pause = (signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, PAUSE);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
  const ask = async (left = PATIENCE) => {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form), signal: asking.signal });
    if (answer.status === 503 && left > 0) {
      state.textContent = "others are asking: it waits for its turn";
      await pause(asking.signal);
      return ask(left - 1);
    }
    state.textContent = "asking";
    if (answer.redirected) return location.reload(); // the session is over: the page itself leads to the sign-in
    if (answer.headers.get("Content-Type") === "application/x-ndjson") return read(answer);
    const said = await answer.json().catch(() => ({ message: `The page is too old (${answer.status}); load it again.` }));
    return refuse(said.message, said.param);
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asking) return;
    asking = new AbortController();
    problem.hidden = true;
    stop.hidden = false;
    columns.forEach((column) => { begin(column); delete part(column, "text").dataset.begun; });
    try {
      await ask();
    } catch (error) {
      if (error.name !== "AbortError") refuse("The connection broke; ask again.");
    }
    const open = columns.filter((one) => "open" in one.dataset);
    open.forEach((column) => fail(column, asking.signal.aborted ? "Stopped." : "The connection broke; ask again."));
    const answered = columns.filter((one) => !part(one, "times").hidden).length;
    state.textContent = problem.hidden ? `${answered} of ${columns.length} answered` : "";
    stop.hidden = true;
    asking = null;
  });
  // Another choice is another page: what was typed goes along in this tab, once, since the address may not name it.
  const typed = form.querySelectorAll("textarea, input[type=number]");
  const kept = JSON.parse(sessionStorage.getItem("asked") || "{}");
  sessionStorage.removeItem("asked");
  typed.forEach((field) => { if (field.name in kept) field.value = kept[field.name]; });
  if (kept.system) form.elements.system.closest("details").open = true;
  document.querySelector("form.choice").addEventListener("submit", () => {
    sessionStorage.setItem("asked", JSON.stringify(Object.fromEntries([...typed].map((field) => [field.name, field.value]))));
  });
  stop.addEventListener("click", () => asking?.abort());
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
})();
