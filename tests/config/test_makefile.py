"""What `make setup` says on a machine that can't be set up, before it changes anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.config.waiting import ROOT


def setup(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """`make setup` with this shell script as the machine's Python."""
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    words = ["make", "setup", f"PYTHON={python}", f"VENV={folder / 'venv'}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_it_names_the_package_where_python_has_no_venv(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "venv.py").write_text("raise ModuleNotFoundError('No module named venv')")
    refused = setup(tmp_path, f'PYTHONPATH={tmp_path / "without"} exec {sys.executable} "$@"')
    assert refused.returncode != 0
    assert "apt-get install python3-venv" in refused.stdout
    assert not (tmp_path / "venv").exists()


def test_it_names_the_version_where_python_is_too_old(tmp_path: Path) -> None:
    refused = setup(tmp_path, 'test "$1" = -V && echo "Python 3.9.2"\nexit 1')
    assert refused.returncode != 0
    assert "needs Python 3.11 or newer" in refused.stdout
    assert "Python 3.9.2" in refused.stdout
