"""`python -m training.trainer`: one task in a process of its own. See events.py for what it reads and writes.

Exit status: 0 finished, 1 failed (a `failed` event says why), 75 the owner is gone.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported: nothing is ever fetched

import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from training.trainer.events import Channel, Failure, Pipe

log = logging.getLogger("training.trainer")


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    channel = Pipe()
    try:
        spec = channel.read_spec()
        channel.listen()
        channel.emit("finished", **_task(spec)(spec, channel))
    except Failure as failure:
        log.info("failed: %s", failure.message)
        channel.emit("failed", **failure.as_event())
        return 1
    except Exception as error:
        log.exception("unexpected")
        channel.emit("failed", **unexpected(error).as_event())
        return 1
    return 0


def unexpected(error: Exception) -> Failure:
    """What an exception that nobody foresaw is to the user."""
    text = f"{type(error).__name__}: {error}"[:1000]
    lacking = isinstance(error, MemoryError) or "can't allocate memory" in text  # torch's own on a CPU
    if lacking or type(error).__name__ == "OutOfMemoryError":
        text = f"out of memory; try a smaller batch_size, gradient_checkpointing or method qlora ({text})"
        return Failure("out_of_memory", text, kind="out_of_memory", param="recipe.batch_size")
    if isinstance(error, KeyError):
        return Failure("bad_spec", f"the specification lacks {error}", kind="user")
    return Failure("unexpected", text, kind="infrastructure")


def _task(spec: Mapping[str, Any]) -> Callable[[Any, Channel], dict[str, Any]]:
    # Imported late: torch takes seconds, and a broken specification should be said at once.
    if spec.get("task") not in TASKS:
        raise Failure("bad_spec", f"unknown task {spec.get('task')!r}; one of {', '.join(TASKS)}", kind="user")
    module, name = TASKS[spec["task"]]
    task: Callable[[Any, Channel], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return task


def preload() -> None:
    """Import what any task may need: transformers reads most of itself only when the first model is made."""
    for module in (*(module for module, _ in TASKS.values()), "transformers.modeling_utils"):
        importlib.import_module(module)


TASKS = {
    "train": ("training.trainer.train", "train"),
    "evaluate": ("training.trainer.evaluate", "evaluate"),
    "probe": ("training.trainer.evaluate", "probe"),
    "tokens": ("training.trainer.evaluate", "tokens"),
    "inspect": ("training.trainer.inspection", "inspect"),
    "merge": ("training.trainer.merging", "merge"),
}

if __name__ == "__main__":
    sys.exit(main())
