"""How codes, kinds, gate rules and raw values are said on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS = {
    # kinds of job
    "train": "training",
    "evaluate": "evaluation",
    "merge": "merge",
    "ingest_base": "base registration",
    "validate_dataset": "dataset check",
    "verify_import": "import check",
    "sweep": "clean-up",
    "scrub": "integrity check",
    # shapes of rows
    "jsonl-chat": "chat messages",
    "messages": "chat messages",
    "sharegpt": "ShareGPT conversations",
    "alpaca": "Alpaca instructions",
    "text": "plain text",
    # errors
    "out_of_memory": "Out of memory",
    "worker_lost": "The worker was lost",
    "unexpected": "Something unexpected",
    "no_answer": "no answer",
    "no_assignment": "nothing assigned",
    # states
    "empty": "no version yet",
    "unused": "not in use",
    "unloaded": "not loaded yet",
}
FAULTS = {"empty": "no rows", "utf16": "UTF-16", "bad_json": "not JSON", "not_text": "not text"}
METRICS = {
    "loss": "test loss",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "token_accuracy": "token accuracy",
}
OPERATORS = {"<=": "at most", ">=": "at least", "<": "below", ">": "above"}
AGAINST = {"production": "that of production", "base": "that of the bare base"}
PAGES = {
    "adapter": "/adapters/{}",
    "alias": "/adapters/{}",
    "client": "/clients/{}",
    "slot": "/clients/{}",
    "dataset": "/datasets/{}",
    "base": "/base-models/{}",
    "job": "/jobs/{}",
    "campaign": "/campaigns/{}",
    "bulk_move": "/bulk-moves/{}",
    "team": "/settings/{}",
}


def word(code: Any) -> str:
    """base_superseded -> base superseded; what has a better word gets it."""
    return WORDS.get(str(code), str(code).replace("_", " "))


def fault(code: Any) -> str:
    """What is wrong with a row or a file, in two or three words."""
    return FAULTS.get(str(code), str(code).replace("_", " "))


def plain(value: Any) -> str:
    """A JSON value as people write it: yes and no, a dash for nothing, lists joined."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{word(key)} {plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value)
    return str(value)


def rule(of: Mapping[str, Any]) -> str:
    """`{metric: loss, op: <=, relative_to: production}` -> test loss at most that of production."""
    name, operator = str(of.get("metric", "")), str(of.get("op", ""))
    relative = of.get("relative_to")
    against = AGAINST.get(str(relative), str(relative)) if relative else plain(of.get("value"))
    delta = f", better by {plain(of['min_delta'])} or more" if of.get("min_delta") else ""
    check = f"share of answers that pass “{name.removeprefix('checks.')}”" if name.startswith("checks.") else ""
    return f"{check or METRICS.get(name, word(name))} {OPERATORS.get(operator, operator)} {against}{delta}"


def address_of(thing: str) -> str:
    """The page of an audit event's object, or nothing: `alias:team/name@production` is on its adapter's."""
    kind, _, address = thing.partition(":")
    if kind not in PAGES or not address:
        return ""
    name, _, ref = address.partition("@")
    if kind in ("client", "slot", "alias"):
        name = "/".join(name.split("/")[:2])
    elif kind == "adapter" and ref.isdigit():
        name = f"{name}/{ref}"
    elif kind == "dataset" and ref.isdigit():
        name = f"{name}?version={ref}"
    return PAGES[kind].format(name)
