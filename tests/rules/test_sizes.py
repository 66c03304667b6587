"""Files of at most 400 lines, functions of at most 50, at most five positional arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "registry", "lora", "training", "serving", "client", "examples", "benchmarks", "tests")
FILES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py") if "migrations" not in p.parts)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Arguments that a caller may give by position. An autograd function gets all its tensors so, from torch."""
    names = [a.arg for a in function.args.posonlyargs + function.args.args]
    return 0 if names[:1] == ["ctx"] else len([name for name in names if name not in ("self", "cls")])


def test_it_sees_the_files():
    assert len(FILES) > 100


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_it_keeps_files_and_functions_small(path):
    assert len(path.read_text().splitlines()) <= 400
    long = [f"{f.name} ({f.end_lineno - f.lineno + 1})" for f in functions(path) if f.end_lineno - f.lineno >= 50]
    assert long == []
    assert [f.name for f in functions(path) if positional(f) > 5] == []


@pytest.mark.parametrize("folder", sorted({p.parent for p in FILES}), ids=lambda p: str(p.relative_to(ROOT)))
def test_it_makes_every_folder_a_package(folder):
    assert (folder / "__init__.py").exists()


def test_it_has_no_room_for_leftovers():
    names = {p.stem for p in FILES} | {p.parent.name for p in FILES}
    assert not names & {"utils", "helpers", "common", "misc", "manager"}
