"""The base update, what it makes stale, the campaign that retrains it, a refusal, and a step back and forth."""

from __future__ import annotations

import time
from typing import Any

from examples.demo.checks import check, until
from examples.demo.screen import bars, say, step, table
from examples.demo.story import BASE, JOB_SECONDS, Story, Vertical, follow

BETTER = [
    {"metric": "loss", "op": "<", "relative_to": "production"},
    {"metric": "loss", "op": "<", "relative_to": "base"},
]
MUCH_BETTER = [{"metric": "loss", "op": "<", "relative_to": "production", "min_delta": 0.05}]
HARDLY_TRAINED = {"steps": 1, "learning_rate": 1e-6, "warmup_steps": 0}
SETTLED = ("passed", "refused", "failed", "promoted", "rolled_back")


def update_base(story: Story) -> None:
    step("8. The base model gets a new version, while clients keep asking")
    api, clients = story.api, sorted(v.client for v in story.verticals)
    made = api.post(f"/base-models/{BASE}/versions", {"source": story.options.base_update.as_uri()})
    follow(api, {f"{BASE}@2": made["job"]})
    hit = api.get(f"/base-models/{BASE}/versions/2/impact")
    say(
        f"Impact of the draft: change {hit['change']}, {len(hit['adapters'])} adapters, "
        f"{len(hit['clients'])} clients, {hit['requests_7d']} requests in 7 days, "
        f"{hit['estimated_device_seconds']:.0f} s of training"
    )
    check(hit["change"] == "weights" and sorted(hit["clients"]) == clients, f"weights, {clients}", hit)
    check(not api.get("/staleness")["results"], "a draft makes nothing stale", api.get("/staleness"))
    api.post(f"/base-models/{BASE}/versions/2/activate", {"reason": "quarterly update"})
    stale = api.get("/staleness", base_model=BASE)["results"]
    table(
        "Stale, and why",
        ("adapter", "reason", "change", "from", "to", "clients hit"),
        [(f"{s['adapter']}@{s['version']}", r["reason"], r["change"], r["from"], r["to"], ", ".join(s["clients"]))
         for s in stale for r in s["reasons"]], text=True,
    )  # fmt: skip
    seen = sorted((s["adapter"], s["version"], r["reason"], r["change"], *s["clients"])
                  for s in stale for r in s["reasons"])  # fmt: skip
    wanted = sorted((v.adapter, 1, "base_superseded", "weights", v.client) for v in story.verticals)
    check(seen == wanted, f"five stale adapters with their clients: {wanted}", seen)


def retrain(story: Story) -> None:
    step("9. One campaign retrains them on the new base")
    api = story.api
    made = api.post("/campaigns", {"base_model": BASE, "gate": BETTER})
    plan = api.post(f"/campaigns/{made['id']}/preview")
    say(
        f"Preview: {plan['jobs']} jobs on {plan['target']}, about {plan['estimated_device_seconds']:.0f} s, "
        f"cost {plan['estimated_cost']:.4f}, {len(plan['clients'])} clients"
    )
    check(plan["jobs"] == len(story.verticals), "a job for each stale adapter", plan)
    api.post(f"/campaigns/{made['id']}/start")
    found = _watch(story, made["id"], until_state=("review", "cancelled"))
    _compare(found)
    states = {item["adapter"]: item["state"] for item in found["items"]}
    check(set(states.values()) == {"passed"}, "every retrained version passes its gate", found["items"])
    api.post(f"/campaigns/{made['id']}/promote")
    _watch(story, made["id"], until_state=("completed",))
    for vertical in story.verticals:
        version = story.version(vertical, 2)
        check("production" in version["aliases"], f"{version['address']} is production", version["aliases"])
        now = api.resolve(vertical.client)["versions"][0]
        check(now["base"]["version"] == 2, f"{vertical.client} runs on {BASE}@2", now)
    check(not api.get("/staleness")["results"], "nothing is stale any more", api.get("/staleness"))
    say(f"Every client runs on {BASE}@2")


def _compare(campaign: dict[str, Any]) -> None:
    rows = []
    for item in campaign["items"]:
        measured = item["evaluations"]
        check(all(measured.values()), f"{item['adapter']}: new, old and bare base are measured", measured)
        loss = {who: float(one["loss"]) for who, one in measured.items()}
        rows.append((item["adapter"], *(f"{loss[who]:.3f}" for who in ("old", "new", "base")), item["state"]))
        check(
            loss["new"] < min(loss["old"], loss["base"]), "the new one beats the old one and the bare base", loss
        )
    table(
        "On the new base, test split: loss", ("adapter", "old adapter", "retrained", "bare base", "verdict"), rows
    )


def refuse(story: Story) -> None:
    step("10. A deliberately bad retrain is refused")
    api, vertical = story.api, story.verticals[-1]
    recipe = story.options.recipe(vertical.name) | HARDLY_TRAINED
    made = api.post("/campaigns", {"adapters": [vertical.adapter], "recipe": recipe, "gate": MUCH_BETTER})
    api.post(f"/campaigns/{made['id']}/start")
    found = _watch(story, made["id"], until_state=("review", "cancelled"))
    (item,) = found["items"]
    say(f"{item['adapter']}: {item['state']}, {item['reason']}")
    check(item["state"] == "refused", "one step at 1e-6 does not pass", item)
    ended = api.post(f"/campaigns/{made['id']}/cancel")
    check(ended["state"] == "cancelled", "the campaign is cancelled", ended["state"])
    now = api.resolve(vertical.client)["versions"][0]
    check(now["version"] == 2, f"{vertical.client} still has version 2", now)


def back_and_forth(story: Story) -> None:
    step("11. One client back to version 1, and forward again")
    vertical = story.verticals[0]
    for number, why in ((1, "rollback: compare with the old one"), (2, "forward again")):
        seconds = _move(story, vertical, number, why)
        story.remember(f"{vertical.name} {why.split(':')[0]}")
        seen = story.moments[-1].digests[vertical.name]
        check(seen == vertical.digest(number), f"{vertical.client} is answered by version {number}", seen)
        say(f"{vertical.client} is answered by {vertical.name}@{number} on {BASE}@{number}, {seconds:.1f} s later")


def _move(story: Story, vertical: Vertical, number: int, why: str) -> float:
    """Move `production`; where no engine has the version yet, wait for the promotion. Returns seconds."""
    begun = time.monotonic()
    asked = {"version": number, "reason": why}
    moved = story.api.put(f"/adapters/{vertical.adapter}/aliases/production", asked)
    if waiting := moved.get("promotion"):
        path = f"/adapters/{vertical.adapter}/promotions/{waiting['id']}"
        ended = until(
            lambda: (p := story.api.get(path))["state"] != "waiting" and p,
            expected="the promotion ends",
            seconds=120,
        )
        check(ended["state"] == "done", f"{vertical.adapter}@{number} is promoted", ended)
    now = story.api.resolve(vertical.client)["versions"][0]
    check(now["version"] == number, f"{vertical.client} has version {number}", now)
    time.sleep(1.0)  # a move reaches every gateway within a second
    return time.monotonic() - begun


def _watch(story: Story, campaign_id: str, *, until_state: tuple[str, ...]) -> dict[str, Any]:
    """A bar for each item until the campaign is in one of the states."""
    with bars() as shown:
        tasks: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = story.api.get(f"/campaigns/{campaign_id}")
            for item in found["items"]:
                name = item["adapter"].split("/")[-1]
                task = tasks.setdefault(name, None)
                if task is None:
                    task = tasks[name] = shown.add_task(f"{name:<14}", total=None, note="")
                done = 1 if item["state"] in SETTLED else 0
                shown.update(task, note=item["state"], completed=done, total=1 if done else None)
            return found if found["state"] in until_state else None

        expected = f"campaign {campaign_id} is {' or '.join(until_state)}"
        found: dict[str, Any] = until(look, expected=expected, seconds=JOB_SECONDS, every=1.0)
    check(found["state"] == until_state[0], f"campaign {campaign_id} is {until_state[0]}", found)
    return found
