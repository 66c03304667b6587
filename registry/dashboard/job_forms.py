"""What was filled in on the page that trains, as the request that the API makes of it; and back from a job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from registry import recipes
from registry.access import Act, Caller
from registry.dashboard import aliases, job_fields
from registry.dashboard.moments import moment_of
from registry.errors import Collected, Forbidden, Invalid, NotFound, RegistryError, fault, faults_of
from registry.models.fields import SLUG_PATTERN
from registry.recipes import RecipeError, checks
from registry.selectors import addresses
from registry.selectors import teams as team_selectors
from registry.services import adapters, gates, training

if TYPE_CHECKING:
    from registry.models import Adapter, BaseVersion, DatasetVersion, TrainingSpec

Values = Mapping[str, str]
LONGEST = 20_000  # characters of one field
UNSENDABLE = re.compile(r"\x00|\\u(?:0000|d[89a-f])", re.IGNORECASE)  # no database holds it
RANGES = {
    "priority": (-100, 100, 0),
    "devices": (0, 1024, 0),
    "max_rows": (1, checks.MOST_ROWS, checks.ROWS),
    "max_tokens": (1, checks.MOST_TOKENS, checks.TOKENS),
}


def values(sent: Mapping[str, Any]) -> dict[str, str]:
    """The text of every field, the empty ones too."""
    return {name: str(sent.get(name, "")).strip().replace("\r\n", "\n")[:LONGEST] for name in job_fields.FIELDS}


def read(by: Caller, asked: Values) -> training.Request:
    """The request; raises what is wrong with all fields at once."""
    found = Collected()
    found.get(lambda: _sendable(asked))
    adapter = found.get(lambda: _adapter(by, asked))
    base = found.get(lambda: _base(asked))
    dataset = found.get(lambda: _dataset(by, asked, "dataset", needed=True))
    judged = found.get(lambda: _dataset(by, asked, "evaluation_dataset"))
    recipe = found.get(lambda: _recipe(asked, adapter)) or {}
    gate = found.get(lambda: _gate(asked["gate"])) or []
    suite = found.get(lambda: _suite(asked))
    numbers = {name: found.get(_whole(asked, name)) or 0 for name in ("priority", "devices")}
    deadline = found.get(lambda: _deadline(asked["deadline"]))
    found.get(lambda: _alias(asked["promote_to"]))
    found.settle()
    if adapter is None or dataset is None:
        raise Invalid("An adapter and a dataset are needed.", param="dataset")
    return training.Request(
        adapter=adapter,
        dataset=dataset,
        base_version=base,
        recipe=recipe,
        evaluation_dataset=judged,
        suite=suite,
        gate=gate,
        promote_to=asked["promote_to"],
        deadline=deadline,
        **numbers,
    )


def of_job(spec: TrainingSpec) -> dict[str, str]:
    """A job's request again, its recipe in the fewest words; `read` makes the same of it, but for the deadline."""
    base = spec.base_version
    size = {"parameter_count": base.parameter_count or 0, "context_length": base.context_length or 2048}
    words = {"preset": "default", **recipes.shortest(spec.recipe, **size)}
    suite = spec.suite or {}
    told = {
        **{name: value for name, value in words.items() if value not in ({}, [])},
        "adapter": spec.adapter.address,
        "dataset": spec.dataset_version.address,
        "base_version": base.address,
        "promote_to": spec.promote_to,
        "gate": aliases.rules_text(spec.gate),
        "evaluation_dataset": spec.evaluation_dataset.address if spec.evaluation_dataset else "",
        "checks": json.dumps([_short(one) for one in suite["checks"]], ensure_ascii=False) if suite else "",
        "max_rows": suite.get("max_rows", ""),
        "max_tokens": suite.get("max_tokens", ""),
        "priority": spec.job.priority or "",
        "devices": spec.job.devices or "",
    }
    return values({name: job_fields.text_of(value) for name, value in told.items()})


def faults(error: RegistryError) -> dict[str, list[str]]:
    """What is wrong by its field; under the empty name what no field is to blame for."""
    found: dict[str, list[str]] = {}
    for one in faults_of(error):
        param = str(one["param"] or "")
        if not param and isinstance(error, Forbidden):
            param = "promote_to"  # the one act of a job that takes more than training
        name = param.removeprefix("recipe.").partition("[")[0].partition(".")[0]
        name = {"name": "adapter", "alias": "promote_to"}.get(name, name)
        said = found.setdefault(name if name in job_fields.FIELDS else "", [])
        if one["message"] not in said:
            said.append(one["message"])
    return found


def _sendable(asked: Values) -> None:
    wrong = [name for name, text in asked.items() if UNSENDABLE.search(text)]
    if wrong:
        text = "This holds a NUL or half of a surrogate pair; take it out."
        raise Invalid(text, param=wrong[0], errors=[fault(name, "bad_text", text) for name in wrong])


def _adapter(by: Caller, asked: Values) -> Adapter:
    text = asked["adapter"]
    if not text:
        raise Invalid.at("adapter", "required", "Choose an adapter, or write a new one as team/name.")
    try:
        return addresses.adapter(by, Act.TRAIN, text, param="adapter")
    except NotFound as error:
        return _drafted(by, asked, error)


def _drafted(by: Caller, asked: Values, missing: NotFound) -> Adapter:
    """A new one, where the team is the caller's."""
    address = addresses.whole(asked["adapter"], "adapter")
    try:
        team = team_selectors.team(by, Act.TRAIN, address.team or "")
    except NotFound:
        raise missing from None
    except Forbidden as error:
        error.param = "adapter"
        raise
    found, vertical = Collected(), asked["vertical"]
    base = found.get(lambda: _base(asked, new=address.text))
    found.get(lambda: adapters.check_vertical(vertical))
    found.settle()
    if base is None:
        raise missing
    return adapters.draft(by=by, team=team, name=address.name, vertical=vertical, base_model=base.base_model)


def _base(asked: Values, new: str = "") -> BaseVersion | None:
    text = asked["base_version"]
    if new and not text:
        raise Invalid.at("base_version", "required", f"{new} is new: choose the base version that it is for.")
    return addresses.base_version(text, param="base_version") if text else None


def _dataset(by: Caller, asked: Values, name: str, *, needed: bool = False) -> DatasetVersion | None:
    if not asked[name] and needed:
        raise Invalid.at(name, "required", "Choose a dataset.")
    return addresses.dataset_version(by, Act.TRAIN, asked[name], param=name) if asked[name] else None


def _recipe(asked: Values, adapter: Adapter | None) -> dict[str, Any]:
    """As it is sent: what is left out comes from the preset, which the vertical says where nobody did."""
    given = {name: job_fields.value_of(name, asked[name]) for name in job_fields.OF_RECIPE if asked[name]}
    if "preset" not in given and adapter is not None:
        preset = recipes.preset_of(adapter.vertical)
        given = {**({"preset": preset} if preset != "default" else {}), **given}
    wrong = recipes.faults(given)
    if wrong:
        raise Invalid(wrong[0]["message"], param=wrong[0]["param"], errors=wrong)
    return given


def _gate(text: str) -> list[dict[str, Any]]:
    if len([line for line in text.splitlines() if line.strip()]) > aliases.MOST_RULES:
        raise Invalid.at("gate", "too_many", f"A gate has at most {aliases.MOST_RULES} rules here.")
    return gates.validate(aliases.rules(text))


def _suite(asked: Values) -> checks.Suite | None:
    if not asked["checks"]:
        return None
    size = {name: _whole(asked, name)() for name in ("max_rows", "max_tokens")}
    try:
        return checks.suite(json.loads(asked["checks"]), **size)
    except RecipeError as error:
        raise Invalid(error.errors[0]["message"], param="checks", errors=error.errors) from error
    except (ValueError, RecursionError) as error:
        text = "Write a JSON list, such as " + job_fields.FIELDS["checks"].example
        raise Invalid.at("checks", "bad_json", text) from error


def _whole(asked: Values, name: str) -> Callable[[], int]:
    low, high, usual = RANGES[name]

    def whole() -> int:
        value = job_fields.number(asked[name]) if asked[name] else usual
        if not isinstance(value, int) or not low <= value <= high:
            raise Invalid.at(name, "invalid", f"A whole number from {low} to {high}.")
        return value

    return whole


def _alias(text: str) -> None:
    if text and not re.fullmatch(SLUG_PATTERN, text):
        raise Invalid.at("promote_to", "invalid", "An alias has lower-case letters, digits and hyphens.")


def _deadline(text: str) -> datetime | None:
    return moment_of(text, param="deadline") if text else None


def _short(check: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in check.items() if value not in (None, False)}
