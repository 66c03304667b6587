// Hovering or tabbing to a node lights its path: everything up and down from it.
document.querySelectorAll("svg.lineage").forEach((graph) => {
  const edges = [...graph.querySelectorAll(".edge")];
  const walk = (start, from, to) => {
    const seen = new Set([start]);
    for (const queue = [start]; queue.length; ) {
      const at = queue.pop();
      edges.filter((edge) => edge.dataset[from] === at).forEach((edge) => {
        edge.classList.add("lit");
        if (!seen.has(edge.dataset[to])) {
          seen.add(edge.dataset[to]);
          queue.push(edge.dataset[to]);
        }
      });
    }
    return seen;
  };
  const clear = () => {
    graph.classList.remove("focused");
    graph.querySelectorAll(".lit").forEach((part) => part.classList.remove("lit"));
  };
  const light = (event) => {
    const node = event.target.closest(".node");
    if (!node) return;
    clear();
    const lit = new Set([...walk(node.dataset.id, "source", "target"), ...walk(node.dataset.id, "target", "source")]);
    graph.querySelectorAll(".node").forEach((other) => other.classList.toggle("lit", lit.has(other.dataset.id)));
    graph.classList.add("focused");
  };
  graph.addEventListener("mouseover", light);
  graph.addEventListener("focusin", light);
  graph.addEventListener("mouseleave", clear);
  graph.addEventListener("focusout", clear);
});
