"""Base, datasets, five training jobs, what they cost, and how each adapter does on each vertical."""

from __future__ import annotations

from typing import Any

from examples.demo.checks import check, until
from examples.demo.costs import COPIES, comparisons
from examples.demo.screen import say, size, step, table
from examples.demo.story import BASE, TEAM, Story, follow

GATE = [{"metric": "loss", "op": "<", "relative_to": "base"}]
Matrix = dict[str, dict[str, float]]  # subject -> vertical -> test loss


def register_base(story: Story) -> None:
    step("1. A base model that all teams share")
    api = story.api
    api.post("/base-models", {"name": BASE, "family": "llama", "licence": "see its folder"})
    made = api.post(f"/base-models/{BASE}/versions", {"source": story.options.base.as_uri()})
    follow(api, {f"{BASE}@1": made["job"]})
    found = api.post(f"/base-models/{BASE}/versions/1/activate", {"reason": "the first one"})
    check(found["status"] == "active", f"{BASE}@1 is active", found["status"])
    say(f"{BASE}@1: {found['parameter_count']:,} parameters, context of {found['context_length']} tokens")


def upload_datasets(story: Story) -> None:
    step("2. Five vertical datasets")
    api, jobs = story.api, {}
    for vertical in story.verticals:
        api.post("/datasets", {"team": TEAM, "name": vertical.name, "vertical": vertical.name})
        content = (story.options.data / vertical.name / "train.jsonl").read_bytes()
        made = api.upload(f"/datasets/{vertical.adapter}/versions", [("file", ("train.jsonl", content))])
        jobs[vertical.name] = made["job"]
    follow(api, jobs)
    found = {v.name: api.get(f"/datasets/{v.adapter}/versions/1") for v in story.verticals}
    for name, one in found.items():
        check(one["status"] == "ready" and one["splits"]["test"] > 0, f"{name} is ready and has test rows", one)
    table(
        "Datasets: a row's hash decides its split",
        ("vertical", "rows", "train", "validation", "test", "duplicates"),
        [
            (name, str(one["row_count"]), *(str(one["splits"][s]) for s in ("train", "validation", "test")),
             str(one["report"]["duplicates"]))
            for name, one in found.items()
        ],
    )  # fmt: skip


def train(story: Story) -> None:
    step("3. Five training jobs, submitted at once")
    api = story.api
    for vertical in story.verticals:
        names = {"team": TEAM, "name": vertical.name, "vertical": vertical.name, "base_model": BASE}
        api.post("/adapters", names)
        asked = {
            "adapter": vertical.adapter,
            "dataset": f"{vertical.adapter}@1",
            "recipe": story.options.recipe(vertical.name),
            "gate": GATE,
            "promote_to": "production",
        }
        vertical.job = api.post("/training-jobs", asked)
    follow(api, {v.name: v.job["id"] for v in story.verticals})
    for vertical in story.verticals:
        vertical.job = api.get(f"/training-jobs/{vertical.job['id']}")
        check(
            vertical.job["gate_result"]["passed"], f"{vertical.name} passes its gate", vertical.job["gate_result"]
        )
        version = story.version(vertical, 1)
        check("production" in version["aliases"], f"{version['address']} is production", version["aliases"])


def measure(story: Story) -> Matrix:
    step("4. Every adapter on every vertical's test split: one evaluation job")
    api, names = story.api, [v.name for v in story.verticals]
    subjects = {f"{BASE}@1": "bare base", **{f"{v.adapter}@1": v.name for v in story.verticals}}
    asked = {"subjects": list(subjects), "datasets": [f"{v.adapter}@1" for v in story.verticals], "split": "test"}
    made = api.post("/evaluations", asked)
    follow(api, {"30 pairs": made["job"]})
    matrix: Matrix = {name: {} for name in subjects.values()}
    for row in api.pages("/evaluations", job=made["job"], limit=200):
        matrix[subjects[row["subject"]]][row["dataset"].split("/")[1].split("@")[0]] = row["loss"]
    lowest = {name: min(matrix, key=lambda subject: matrix[subject][name]) for name in names}
    table(
        "Test loss, adapter (row) by vertical (column); * lowest",
        ("adapter", *names),
        [(s, *(f"{line[n]:.3f}{' *' if lowest[n] == s else ''}" for n in names)) for s, line in matrix.items()],
    )
    check(lowest == {name: name for name in names}, "each adapter is best on its own vertical", lowest)
    _before_and_after(story, matrix)
    return matrix


def _before_and_after(story: Story, matrix: Matrix) -> None:
    base = _base_bytes(story)
    rows = []
    for vertical in story.verticals:
        name, version = vertical.name, vertical.versions[1]
        before, after = matrix["bare base"][name], matrix[name][name]
        gain = 1 - after / before
        cost = vertical.job["cost"] or {}
        rows.append((
            name, f"{before:.3f}", f"{after:.3f}", f"-{gain:.0%}", f"{version['trainable_parameters']:,}",
            f"{version['share_of_base']:.1%}", size(version["bytes"]), size(base),
            f"{cost.get('device_seconds', 0):.0f} s", f"{cost.get('amount', 0):.4f} {cost.get('currency', '')}",
        ))  # fmt: skip
        least = story.options.least_gain
        check(
            gain >= least,
            f"{name}: test loss at least {least:.0%} below the base's",
            f"{before:.3f} -> {after:.3f}",
        )
    table(
        "What training gave and took",
        ("vertical", "before", "after", "change", "trained", "share", "adapter", "base", "time", "cost"),
        rows,
    )


def full_copies(story: Story) -> None:
    step("5. Five adapters against five full copies")
    adapter = max(v.versions[1]["bytes"] for v in story.verticals)
    rank = story.options.recipe("retail")["rank"]
    lines: list[tuple[str, str, int, int]] = [
        (f"{BASE}@1 (measured)", f"rank {rank}: all linear", adapter, _base_bytes(story)), *comparisons()
    ]  # fmt: skip
    table(
        "bfloat16 by configuration shapes alone, but for what was measured",
        ("model", "adapted", "1 adapter", "5 adapters + 1 base", "5 full copies", "less by"),
        [
            (model, words, size(one), size(COPIES * one + full), size(COPIES * full),
             f"{1 - (COPIES * one + full) / (COPIES * full):.0%}")
            for model, words, one, full in lines
        ],
    )  # fmt: skip
    check(
        [round(one / 1e6) for model, _, one, _ in lines if "70B" in model] == [66, 414],
        "a 70B's adapters of rank 16 take 66 MB (q, v) and 414 MB (all linear)",
        lines,
    )
    check(all(COPIES * one < (COPIES - 1) * full for *_, one, full in lines), "adapters are smaller", lines)


def _base_bytes(story: Story) -> int:
    return sum(path.stat().st_size for path in story.options.base.glob("*.safetensors"))


def reached(story: Story, base: str, versions: int) -> dict[str, Any]:
    """The engine of `base`, once it has so many of our versions."""

    def ask() -> dict[str, Any] | None:
        return next((one for one in story.serving(base) if len(one["loaded"]) >= versions), None)

    found: dict[str, Any] = until(ask, expected=f"an engine of {base} has {versions} adapters", seconds=120)
    return found
