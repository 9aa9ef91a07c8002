"""A server of desktop notifications, on a bus of the tests (Desktop Notifications Specification 1.2)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from buses import Service
from jeepney import DBusAddress, new_method_return, new_signal

__all__ = ["NotificationServer", "Shown"]

_NAME: Final = "org.freedesktop.Notifications"
_PATH: Final = "/org/freedesktop/Notifications"


class Shown(NamedTuple):
    """A notification as it was asked for."""

    program: str
    replaces: int
    title: str
    body: str
    buttons: dict[str, str]
    hints: dict[str, Any]


class NotificationServer(Service):
    """Shows nothing, and notes everything. The test presses buttons."""

    def __init__(self, address: str, *capabilities: str, is_deaf: bool = False) -> None:
        self.capabilities = capabilities
        #: All notifications, by when they came, and those that are still shown, by their numbers.
        self.history: list[Shown] = []
        self.shown: dict[int, Shown] = {}
        self._is_deaf = is_deaf
        self._given = 0
        super().__init__(address, _NAME)

    def answer(self, member: str, message: Any) -> Any:
        body = message.body
        if self._is_deaf:
            # A signal that nobody wants, in place of an answer.
            return new_signal(DBusAddress(_PATH, interface=_NAME), "Nothing")
        match member:
            case "GetCapabilities":
                return new_method_return(message, "as", (list(self.capabilities),))
            case "Notify":
                program, replaces, _, title, text, pairs, hints, _ = body
                number = replaces or self._next()
                buttons = dict(zip(pairs[::2], pairs[1::2], strict=True))
                assert not buttons or "actions" in self.capabilities
                shown = Shown(
                    program, replaces, title, text, buttons, {name: value for name, (_, value) in hints.items()}
                )
                self.history.append(shown)
                self.shown[number] = shown
                return new_method_return(message, "u", (number,))
            case "CloseNotification":
                self.shown.pop(body[0], None)
                self.emit(_PATH, _NAME, "NotificationClosed", "uu", body[0], 3)
                return new_method_return(message)
        raise AssertionError(member)

    def press(self, number: int, key: str) -> None:
        """Press a button of a notification, as a user does; it goes away."""
        self.emit(_PATH, _NAME, "ActivationToken", "us", number, "the token")
        self.emit(_PATH, _NAME, "ActionInvoked", "us", number, key)
        self.dismiss(number)

    def dismiss(self, number: int) -> None:
        self.shown.pop(number, None)
        self.emit(_PATH, _NAME, "NotificationClosed", "uu", number, 2)

    def _next(self) -> int:
        self._given += 1
        return self._given
