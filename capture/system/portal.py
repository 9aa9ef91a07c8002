"""The desktop's portal on the session bus: its names, its limits, and how it answers a request.

A portal answers most calls twice: at once with the path of a request, later with a signal of that request. The path
follows from a token of ours, so that a signal which comes first is heard.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = [
    "ANSWER_LIMIT_S",
    "CANCELLED",
    "DIALOG_LIMIT_S",
    "GIVEN",
    "PATH",
    "REQUEST",
    "SERVICE",
    "SESSION",
    "is_absent",
    "new_token",
    "request_path",
]

SERVICE: Final = "org.freedesktop.portal.Desktop"
PATH: Final = "/org/freedesktop/portal/desktop"
REQUEST: Final = "org.freedesktop.portal.Request"
SESSION: Final = "org.freedesktop.portal.Session"

#: How long the portal may take to answer; the bus may first have to start it.
ANSWER_LIMIT_S: Final = 8.0

#: How long the user may take with a dialog. A recorder that was forgotten must not show one for ever.
DIALOG_LIMIT_S: Final = 300.0

#: The answers of a request: given, or cancelled by the user; others are failures.
GIVEN: Final = 0
CANCELLED: Final = 1


def new_token() -> str:
    """Return an unguessable name for a request or a session."""
    # The module `secrets` would load OpenSSL.
    return f"capture{os.urandom(8).hex()}"


def request_path(unique_name: str, token: str) -> str:
    """Return the path of the request with this token, made by the connection with this name on the bus."""
    return f"{PATH}/request/{unique_name[1:].replace('.', '_')}/{token}"


def is_absent(error_name: str) -> bool:
    """Whether the bus answers with this error because no portal runs, and none can be started."""
    return any(word in error_name for word in ("ServiceUnknown", "NameHasNoOwner", "Spawn"))
