"""Addresses: `team/adapter`, `team/adapter@3`, `team/adapter@production`, `team/dataset@2`, `base@4`.

A bare adapter means its `production` alias, or its highest ready version where there is none; a bare
dataset its highest ready version; a bare base its current version.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db.models import QuerySet

from registry.access import Act, Caller, fetch, sole
from registry.choices import DatasetStatus, VersionStatus
from registry.errors import Invalid, NotFound, RegistryError
from registry.models import Adapter, AdapterVersion, Alias, BaseModel, BaseVersion, Client, Dataset, DatasetVersion

FORM = re.compile(
    r"(?:(?P<team>[a-z0-9][a-z0-9-]{0,62})/)?(?P<name>[a-z0-9][a-z0-9-]{0,62})(?:@(?P<ref>[a-z0-9-]{1,63}))?"
)
LARGEST = 2**31 - 1
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Address:
    """`number` or `alias` says which version; both None for a bare address."""

    team: str | None
    name: str
    number: int | None = None
    alias: str | None = None

    @property
    def text(self) -> str:
        ref = f"@{self.number or self.alias}" if self.number is not None or self.alias else ""
        return f"{self.team}/{self.name}{ref}" if self.team else f"{self.name}{ref}"


def parse(text: str, *, param: str | None = None) -> Address:
    found = FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        message = f"{str(text)[:100]!r} is no address; write team/name, team/name@3 or base@4."
        raise Invalid.at(param, "bad_address", message)
    ref = found["ref"]
    if ref is not None and ref.isdigit():
        return Address(found["team"], found["name"], number=min(int(ref), LARGEST))
    return Address(found["team"], found["name"], alias=ref)


def _naming(find: Callable[P, R]) -> Callable[P, R]:
    """What is refused says by its `param` which field of the request named it."""

    @wraps(find)
    def found(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return find(*args, **kwargs)
        except RegistryError as error:
            param = kwargs.get("param")
            error.param = error.param or (param if isinstance(param, str) else None)
            raise

    return found


def _of_team(text: str, param: str | None) -> Address:
    address = parse(text, param=param)
    if address.team is None:
        message = f"{text!r} lacks its team; write team/{address.name}."
        raise Invalid.at(param, "bad_address", message)
    return address


def whole(text: str, param: str | None) -> Address:
    """The address of something that has no version in it: one that was written is not dropped silently."""
    address = _of_team(text, param)
    if address.number is not None or address.alias is not None:
        message = f"{text!r} names a version; write {address.team}/{address.name} here."
        raise Invalid.at(param, "bad_address", message)
    return address


@_naming
def adapter(by: Caller, act: Act, text: str, *, param: str | None = None) -> Adapter:
    address = whole(text, param)
    return adapter_of(by, act, address.team or "", address.name)


def adapter_of(by: Caller, act: Act, team: str, name: str) -> Adapter:
    return fetch(by, act, Adapter.objects.select_related("team", "base_model"), team__slug=team, name=name)


@_naming
def adapter_version(by: Caller, act: Act, text: str, *, param: str | None = None) -> AdapterVersion:
    address = _of_team(text, param)
    row = adapter_of(by, act, address.team or "", address.name)
    return version_of(row, address.number, address.alias)


def version_of(row: Adapter, number: int | None = None, alias: str | None = None) -> AdapterVersion:
    """The version that a number or alias names, or the adapter's current one."""
    versions = _versions(row)
    if number is not None:
        found = sole(versions.filter(number=number))
    elif alias is not None:
        found = sole(versions.filter(aliases__name=alias, aliases__deleted_at__isnull=True))
    else:
        found = current_version(row)
    if found is None:
        named = (
            f"@{number if number is not None else alias}" if number is not None or alias else " (no ready version)"
        )
        raise _no_version(row, named)
    return found


def numbered(row: Adapter, number: int) -> AdapterVersion:
    """No more than which row it is: for who reads it again, under its lock."""
    found = sole(row.versions.only("adapter", "number").filter(number=number))
    if found is None:
        raise _no_version(row, f"@{number}")
    return found


def _no_version(row: Adapter, named: str) -> NotFound:
    return NotFound(f"No such adapter version: {row.address}{named}.")


def current_version(row: Adapter) -> AdapterVersion | None:
    """`production`, or the highest ready version where that alias is not set."""
    versions = _versions(row)
    production = Alias.objects.filter(adapter=row, name="production", deleted_at__isnull=True)
    aliased = sole(versions.filter(aliases__in=production))
    return aliased or versions.filter(status=VersionStatus.READY).order_by("-number").first()


def _versions(row: Adapter) -> QuerySet[AdapterVersion]:
    """With their base, and `row` itself as their adapter, which is not read once more."""
    return row.versions.select_related("base_version__base_model").defer("probe", "base_version__module_table")


@_naming
def dataset(by: Caller, act: Act, text: str, *, param: str | None = None) -> Dataset:
    address = whole(text, param)
    return dataset_of(by, act, address.team or "", address.name)


def dataset_of(by: Caller, act: Act, team: str, name: str) -> Dataset:
    return fetch(by, act, Dataset.objects.select_related("team"), team__slug=team, name=name)


@_naming
def dataset_version(by: Caller, act: Act, text: str, *, param: str | None = None) -> DatasetVersion:
    """The version that the address names, whatever its status; a bare one its highest ready version."""
    address = _of_team(text, param)
    row = dataset_of(by, act, address.team or "", address.name)
    versions = DatasetVersion.objects.select_related("dataset__team", "manifest").filter(dataset=row)
    if address.alias is not None:
        raise NotFound(f"Datasets have no aliases: {text}.")
    if address.number is not None:
        found = sole(versions.filter(number=address.number))
    else:
        found = versions.filter(status=DatasetStatus.READY).order_by("-number").first()
    if found is None:
        raise NotFound(
            f"No such dataset version: {text}{'' if address.number is not None else ' (none is ready)'}."
        )
    return found


@_naming
def base_model(name: str, *, param: str | None = None) -> BaseModel:  # noqa: ARG001 - `_naming` reads it
    row = sole(BaseModel.objects.select_related("current").filter(name=name))
    if row is None:
        raise NotFound(f"No such base model: {name}.")
    return row


@_naming
def base_version(text: str, *, param: str | None = None) -> BaseVersion:
    """Base models belong to all teams, so no caller is asked."""
    address = parse(text, param=param)
    row = base_model(address.name)
    versions = BaseVersion.objects.select_related("base_model").filter(base_model=row)
    found = sole(versions.filter(number=address.number)) if address.number is not None else row.current
    if found is None or address.team or address.alias:
        raise NotFound(f"No such base version: {text}{'' if address.number is not None else ' (none is active)'}.")
    return found


@_naming
def base_version_of(row: BaseModel, number: int, *, param: str | None = None) -> BaseVersion:  # noqa: ARG001
    """Without its table of modules, which loads when it is asked for."""
    found = sole(row.versions.defer("module_table").filter(number=number))
    if found is None:
        raise NotFound(f"No such base version: {row.name}@{number}.")
    return found


def client_of(by: Caller, act: Act, team: str, name: str) -> Client:
    return fetch(by, act, Client.objects.select_related("team"), team__slug=team, name=name)


@_naming
def client(by: Caller, act: Act, text: str, *, param: str | None = None) -> Client:
    address = whole(text, param)
    return client_of(by, act, address.team or "", address.name)
