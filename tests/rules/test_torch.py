"""The web process never loads torch: it starts fast and runs where torch isn't installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
import {module}
heavy = {{"torch", "transformers", "lora", "peft"}} & set(sys.modules)
sys.exit(f"{module} loads {{heavy}}" if heavy else 0)
"""


@pytest.mark.parametrize(
    "module", ["config.urls", "config.wsgi", "serving.gateway", "training.tasks", "training.feeder"]
)
def test_it_leaves_torch_out(module):
    program = PROGRAM.format(module=module)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
