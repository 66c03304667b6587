"""Addresses as people write them: `team/adapter`, `team/adapter@3`, `team/adapter@production`, `base@4`."""

from __future__ import annotations

from client.output import Exit, stop


def owned(text: str) -> tuple[str, str]:
    """Team and name of something that a team owns."""
    team, _, name = text.partition("/")
    if not team or not name or "/" in name:
        stop(Exit.USAGE, f"{text!r} is no address; write team/name")
    return team, name


def whole(text: str) -> str:
    """An address without a version, of something that a team owns."""
    if "@" in text:
        stop(Exit.USAGE, f"{text!r} names a version; write {text.partition('@')[0]}")
    return "/".join(owned(text))


def parted(text: str) -> tuple[str, str]:
    """The name and what stands behind the @, which is empty where there is none."""
    name, _, ref = text.partition("@")
    return name, ref


def numbered(text: str, example: str) -> tuple[str, int]:
    """The name and the number of an address that must name a version."""
    name, ref = parted(text)
    if not _is_number(ref):
        stop(Exit.USAGE, f"{text!r} names no version; write {example}")
    return name, int(ref)


def which(ref: str, alias: str | None, version: int | None) -> dict[str, str | int]:
    """What an assignment follows: a version or an alias, said by the address or by a flag, and only once."""
    said: list[dict[str, str | int]] = []
    if ref:
        said.append({"version": int(ref)} if _is_number(ref) else {"alias": ref})
    if alias is not None:
        said.append({"alias": alias})
    if version is not None:
        said.append({"version": version})
    if len(said) > 1:
        stop(Exit.USAGE, "Give one of team/adapter@..., --alias and --version.")
    return said[0] if said else {"alias": "production"}


def _is_number(ref: str) -> bool:
    return ref.isascii() and ref.isdigit()
