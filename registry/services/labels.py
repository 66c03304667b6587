"""Labels: a few words by key on an adapter, one of its versions or a client, replaced as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from registry.errors import Invalid, fault
from registry.models import Adapter, AdapterVersion, Client

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
LONGEST = 200
MOST = 50


def check(labels: Mapping[str, str]) -> None:
    """Raises Invalid with every label that can't be kept."""
    wrong = [
        f"label {key[:63]!r} is no key: letters, digits and ._/- (63 at most)"
        for key in labels
        if not KEY.fullmatch(key)
    ]
    too_long = [key for key, value in labels.items() if len(value) > LONGEST]
    wrong += [f"label {key!r} has a value of more than {LONGEST} characters" for key in too_long]
    if len(labels) > MOST:
        wrong.append(f"{len(labels)} labels; {MOST} at most")
    if wrong:
        faults = [fault("labels", "invalid", text) for text in wrong]
        raise Invalid(wrong[0], param="labels", errors=faults)


def replace(owner: Adapter | AdapterVersion | Client, labels: Mapping[str, str]) -> dict[str, str]:
    """In the transaction of the act that is recorded; returns those that were there."""
    rows: Any = owner.labels
    before: dict[str, str] = dict(rows.values_list("key", "value"))
    rows.all().delete()
    kind, name = rows.model, rows.field.name
    rows.bulk_create(kind(**{name: owner}, key=key, value=value) for key, value in labels.items())
    return before
