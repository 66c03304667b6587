"""Loaded before Django reads its settings (`-p tests.environment`): each run has a home of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_HOME = tempfile.TemporaryDirectory(prefix="plethora-tests-")
os.environ["PLETHORA_HOME"] = _HOME.name
(Path(_HOME.name) / "static").mkdir()
# The browser's driver leaves an event loop running in the main thread of the process that had its tests.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
# Every test sends its wrong credentials from the same address; those of the limits lower them.
os.environ["PLETHORA_FAILURES_PER_MINUTE"] = os.environ["PLETHORA_TOKENS_PER_HOUR"] = "1000000"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
