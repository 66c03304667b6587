"""What the docs name exists: make targets, commands, settings, files."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands
from typer.main import get_command

from client.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXT = "\n".join(path.read_text() for path in DOCS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)\b", TEXT, re.MULTILINE))))
def test_it_names_make_targets_that_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"manage\.py ([a-z]+)", TEXT))))
def test_it_names_management_commands_that_exist(name):
    assert name in get_commands()


PAGES = "\n".join(re.sub(r"{{.*?}}", "x", path.read_text()) for path in (ROOT / "templates").rglob("*.html"))
COMMANDS = sorted(
    set(re.findall(r"^(?:KEY=\$\()?(?:\.venv/bin/)?plethora (.+?)(?:\)|  +#.*)?$", TEXT, re.MULTILINE))
    | {html.unescape(line).strip() for line in re.findall(r"(?:^|>)plethora ([^<\n]+)", PAGES, re.MULTILINE)}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_it_shows_commands_that_parse(line, monkeypatch, tmp_path):
    """Each is taken apart as a shell and the command line would, where the files that it names are."""
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("rows.jsonl", "job.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    command, words = get_command(app), shlex.split(line)
    while hasattr(command, "commands"):
        assert words, f"plethora {line} stops at a group"
        command = command.commands[words.pop(0)]
    if "--help" not in words:
        command.make_context("plethora", words)


def settings_read() -> set[str]:
    code = "\n".join(path.read_text() for path in (ROOT / "config").rglob("*.py"))
    return set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', code))


def test_it_documents_every_setting():
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "operations.md").read_text()))
    assert settings_read() - documented == set()


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_it_links_to_files_that_exist(path):
    links = re.findall(r"\]\((?!http)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
