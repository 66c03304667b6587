"""What a report of an exception leaves out: Django's debug page, and whatever mails such reports."""

from __future__ import annotations

import re
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

HIDDEN = re.compile(
    "API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|COOKIE|BROKER|DATABASE_URL|SEED|LOGIN|CODE|TEXT", re.IGNORECASE
)


class Discreet(SafeExceptionReporterFilter):
    """No variable's value at all: a secret that is shown once is a local of whoever makes it, under any name."""

    hidden_settings = HIDDEN

    def is_active(self, request: HttpRequest | None) -> bool:  # noqa: ARG002 - always
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        sent = super().get_post_parameters(request)
        return dict.fromkeys(sent, self.cleansed_substitute)

    def get_traceback_frame_variables(
        self,
        request: HttpRequest | None,  # noqa: ARG002
        tb_frame: FrameType,
    ) -> Any:
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
