"""`python -m examples.demo`: the whole story on one machine, each step measured and checked.

Train, register, assign, serve, flag, retrain, audit; through the REST API and the chat API only.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from client.api import ApiError, Client, Unreachable
from examples.demo import audit, campaigns, serving, training
from examples.demo.asker import Asker
from examples.demo.checks import CheckFailed
from examples.demo.installation import Installation
from examples.demo.options import Options, parse
from examples.demo.screen import console, say, step
from examples.demo.story import TEAM, Story, load_verticals

EMAIL = "demo@example.org"
PATIENCE = 30.0  # seconds in which a killed web process is back


def main() -> int:
    options = parse()
    installation = Installation(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is ended
    if options.stop:
        installation.stop()
        return 0
    begun, status = time.monotonic(), 1
    try:
        told = run(installation, options)
        say(f"\nThe whole story took {time.monotonic() - begun:.0f} s.")
        status = 0
    except CheckFailed as failure:
        console.print(f"\nA check did not hold.\n{failure}", style="bold red", markup=False)
    except (ApiError, Unreachable) as failure:
        console.print(
            f"\nA call failed: {failure!r} {getattr(failure, 'errors', '')}", style="bold red", markup=False
        )
    except KeyboardInterrupt:
        console.print("\nStopped by hand.", style="bold red")
    if options.leave or status:
        installation.stop()
    if status:
        say(f"Logs: {options.home / 'log'}, {options.home / 'up.log'}")
        say("demo: failed")
        return status
    if not options.leave:
        step("Left running for you")
        say(f"Dashboard  {options.url}\nUser       {told['user']}\nPassword   {told['password']}")
        say(f"Chat API   {options.serving_url}/v1")
        say(f"To end it: {os.path.relpath(sys.executable)} -m examples.demo --stop")
    say("demo: ok")
    return 0


def run(installation: Installation, options: Options) -> dict[str, str]:
    step("0. An installation of its own")
    verticals = load_verticals(options.data)
    installation.start()
    told = installation.bootstrap(email=EMAIL, team=TEAM)
    say(f"Dashboard and API {options.url}, chat API {options.serving_url}, state in {options.home}")
    with Client(options.url, told["token"], patience=PATIENCE) as api:
        tell(Story(options, api, told["token"], verticals))
    return told


def tell(story: Story) -> None:
    training.register_base(story)
    training.upload_datasets(story)
    training.train(story)
    training.measure(story)
    training.full_copies(story)
    serving.assign(story)
    serving.answer(story)
    story.remember("before the update")
    with Asker(story) as asker:
        campaigns.update_base(story)
        story.remember("stale, still served")
        campaigns.retrain(story)
        campaigns.refuse(story)
        story.remember("after the campaign")
        campaigns.back_and_forth(story)
    asker.verify()
    audit.answer(story)


if __name__ == "__main__":
    sys.exit(main())
