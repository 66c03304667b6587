"""Five clients, each with a key, an assignment and a question; one engine answers them all."""

from __future__ import annotations

from typing import Any

from client.chat import Answer
from examples.demo.checks import check
from examples.demo.screen import say, step, table
from examples.demo.story import BASE, CLIENTS, TEAM, Story
from examples.demo.training import reached

ROUNDS = 3  # each adapter is swapped in so many times
TRIES = 3  # a killed engine comes back as another process: the swaps are watched anew


def assign(story: Story) -> None:
    step("6. Five clients, each with a key and an assignment")
    for vertical in story.verticals:
        names = {"team": TEAM, "name": CLIENTS[vertical.name], "vertical": vertical.name}
        story.api.post("/clients", names)
        vertical.key = story.api.post(f"/clients/{vertical.client}/keys", {"name": "demo"})["key"]
        wish = {"adapter": vertical.adapter, "alias": "production", "reason": "go live"}
        made = story.api.put(f"/clients/{vertical.client}/assignments/default", wish)
        check(made["adapter"] == vertical.adapter, f"{vertical.client} is assigned {vertical.adapter}", made)
    table(
        "Who is served by what",
        ("client", "slot", "adapter", "alias"),
        [(v.client, "default", v.adapter, "production") for v in story.verticals],
        text=True,
    )


def answer(story: Story) -> None:
    step("7. Each client's question, answered by its own adapter through one engine")
    for attempt in range(1, TRIES + 1):
        before = reached(story, f"{BASE}@1", len(story.verticals))
        answers = [_ask_all(story) for _ in range(ROUNDS)][-1]
        after = reached(story, f"{BASE}@1", len(story.verticals))
        if before["pid"] == after["pid"]:
            break
        say(f"Engine {before['pid']} has ended and {after['pid']} took over: once more ({attempt} of {TRIES})")
    _show(story, answers)
    swaps = ROUNDS * len(story.verticals)
    say(
        f"Engine process {after['pid']}, the base loaded {after['base_loads']} time(s), before and after "
        f"{swaps} swaps; the last load of an adapter into a row took {after['swap_ms'] or 0:.1f} ms"
    )
    seen = [(one["pid"], one["base_loads"]) for one in (before, after)]
    check(seen[0] == seen[1] and seen[0][1] == 1, "one process that loaded the base once, through all swaps", seen)


def _ask_all(story: Story) -> dict[str, tuple[Answer, Answer]]:
    """Each client's own answer and the bare base's, in turn, so that each request swaps the adapter."""
    bare = story.chat(story.token)
    return {
        v.name: (story.chat(v.key).ask(v.question), bare.ask(v.question, model=f"{BASE}@1"))
        for v in story.verticals
    }


def _show(story: Story, answers: dict[str, tuple[Answer, Answer]]) -> None:
    rows = []
    for vertical in story.verticals:
        own, bare = answers[vertical.name]
        digest, wanted = own.digest, vertical.digest(1)
        check(digest == wanted, f"{vertical.client} is answered by {wanted}", (own.adapter, digest))
        check(own.text != bare.text, f"{vertical.adapter} answers otherwise than the bare base", own.text)
        rows.append((
            vertical.name, _short(vertical.question), _short(own.text), _short(bare.text),
            own.adapter.split("/")[-1], digest[:10], f"{own.seconds * 1000:.0f}",
        ))  # fmt: skip
    table(
        "One engine, five adapters",
        ("client of", "asked", "its adapter", "the bare base", "version", "digest", "ms"),
        rows,
        text=True,
    )


def _short(text: Any) -> str:
    words = " ".join(str(text).split()).replace("[", "(").replace("]", ")")
    return words if len(words) <= 60 else words[:59] + "…"
