"""Shows notifications on Linux: org.freedesktop.Notifications on the session bus (Desktop Notifications Specification).

Every call has a time limit.
"""

from __future__ import annotations

import html
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageType, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

__all__ = ["Notices"]

_SERVICE: Final = "org.freedesktop.Notifications"
_SERVER: Final = DBusAddress("/org/freedesktop/Notifications", _SERVICE, _SERVICE)
_NAME: Final = "Capture"

#: How long the server may take to answer; the bus may first have to start it.
ANSWER_LIMIT_S: Final = 5.0

#: How long the desktop shows a notification, where it lets programs choose.
SHOWN_MS: Final = 10_000

#: How many connections wait for buttons at a time, and the names that they own meanwhile: a script may save hundreds of
#: files, and each wait takes 8 MB.
_PLACES: Final = 8
_PLACE_NAME: Final = "local.capture.SavedNotice"

#: RequestName (D-Bus Specification): others may take it, and I do not queue; take it from others; the owner's answer.
_ASKS: Final = 1 | 4
_REPLACES: Final = 2
_IS_OWNER: Final = 1


class Notices:
    """A connection to the desktop's notifications. One thread uses it."""

    def __init__(self, address: str) -> None:
        """Connect to the session bus at `address`. This and the methods raise `OSError` when the desktop fails."""
        self._bus: Any = open_dbus_connection(address)
        self._signals: deque[Any] = deque()
        try:
            # What the server can do, by the words of the specification.
            self.capabilities = frozenset(self._call("GetCapabilities")[0])
        except BaseException:
            self._bus.close()
            raise

    def listen(self) -> None:
        """Hear from now on what the user does with notifications; `choice` waits for it.

        Only `_PLACES` connections of a session wait at a time: one more takes the place of another, whose wait ends.
        """
        rule = MatchRule(type="signal", interface=_SERVICE, path=_SERVER.object_path)
        self._bus.filter(rule, queue=self._signals)
        self._answer(message_bus.AddMatch(rule))
        self._bus.filter(MatchRule(type="signal", member="NameLost"), queue=self._signals)
        for place in range(_PLACES):
            if self._answer(message_bus.RequestName(f"{_PLACE_NAME}{place}", _ASKS))[0] == _IS_OWNER:
                return
        self._answer(message_bus.RequestName(f"{_PLACE_NAME}{os.getpid() % _PLACES}", _ASKS | _REPLACES))

    def show(
        self,
        title: str,
        body: str = "",
        *,
        actions: Mapping[str, str] | None = None,
        replaces: int = 0,
        hints: Mapping[str, tuple[str, Any]] | None = None,
    ) -> int:
        """Show a notification in place of `replaces`, and return its number. The texts are shown as they are.

        `actions` are buttons by their keys, which must not be given to a server without that capability.
        """
        pairs = [word for pair in (actions or {}).items() for word in pair]
        # A file may be called `<b>.mp4`.
        body = html.escape(body, quote=False) if "body-markup" in self.capabilities else body
        words = (_NAME, replaces, "", title, body, pairs, dict(hints or {}), SHOWN_MS)
        return int(self._call("Notify", "susssasa{sv}i", words)[0])

    def withdraw(self, number: int) -> None:
        """Take a notification away."""
        self._call("CloseNotification", "u", (number,))

    def choice(self, number: int, until_s: float) -> tuple[str, str] | None:
        """Wait until the user presses a button of a notification, and return its key and a token to start programs.

        Returns None once the notification is gone, after `until_s` on the monotonic clock, or when another connection
        has taken the place of this one: then it is withdrawn, because its buttons no longer work.
        """
        token = ""
        is_replaced = False
        while time.monotonic() < until_s and not is_replaced:
            while self._signals:
                signal = self._signals.popleft()
                member, body = signal.header.fields[HeaderFields.member], signal.body
                is_replaced |= member == "NameLost" and body[0].startswith(_PLACE_NAME)
                if not body or body[0] != number:
                    continue
                if member == "ActivationToken":
                    token = str(body[1])
                elif member == "ActionInvoked":
                    return str(body[1]), token
                elif member == "NotificationClosed":
                    return None
            if not is_replaced:
                with suppress(TimeoutError):
                    self._bus.recv_messages(timeout=max(0.0, until_s - time.monotonic()))
        self.withdraw(number)
        return None

    def close(self) -> None:
        self._bus.close()

    def _call(self, method: str, signature: str | None = None, body: Sequence[Any] = ()) -> Any:
        return self._answer(new_method_call(_SERVER, method, signature, tuple(body)))

    def _answer(self, message: Any) -> Any:
        reply = self._bus.send_and_get_reply(message, timeout=ANSWER_LIMIT_S)
        if reply.header.message_type is MessageType.error:
            raise OSError(f"the desktop refuses: {reply.body}")
        return reply.body
