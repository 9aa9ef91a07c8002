"""Asks the desktop's portal for a mail with a file attached: org.freedesktop.portal.Email, over the session bus.

The portal knows which mail program is the user's, and how that one is given a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from capture.errors import CaptureError, NotReadyError
from capture.system.portal import (
    ANSWER_LIMIT_S,
    CANCELLED,
    DIALOG_LIMIT_S,
    GIVEN,
    PATH,
    REQUEST,
    SERVICE,
    new_token,
    request_path,
)
from capture.system.session_bus import bus_address

__all__ = ["mail_by_portal"]

_INTERFACE: Final = "org.freedesktop.portal.Email"


def mail_by_portal(path: Path, subject: str, environment: Mapping[str, str]) -> bool:
    """Let the desktop open a mail that has the file at `path` attached; return False if it has no such portal.

    Returns when the mail program has the file, or the desktop says that there is none. Raises `CaptureError` if the
    user closes the desktop's dialog, `NotReadyError` if the dialog is not answered.
    """
    address = bus_address(environment)
    if address is None:
        return False
    # Loading it takes 20 ms.
    from jeepney.io.blocking import open_dbus_connection

    try:
        with closing(open_dbus_connection(address, enable_fds=True)) as bus:
            return _asked(bus, path, subject)
    except (OSError, RuntimeError, ValueError, LookupError, TypeError):
        # Whatever is wrong with the bus or the portal, there is another way.
        return False


def _asked(bus: Any, path: Path, subject: str) -> bool:
    from jeepney import DBusAddress, MatchRule, MessageType, new_method_call
    from jeepney.bus_messages import message_bus

    token = new_token()
    answered = MatchRule(type="signal", interface=REQUEST, member="Response", path=request_path(bus.unique_name, token))
    # A portal that ends gives no answer.
    gone = MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged")
    gone.add_arg_condition(0, SERVICE)
    for rule in (answered, gone):
        # Before the call: the answer may come before its reply.
        bus.send_and_get_reply(message_bus.AddMatch(rule), timeout=ANSWER_LIMIT_S)
    with bus.filter(answered) as answers, bus.filter(gone) as endings:
        file = os.open(path, os.O_RDONLY)
        try:
            options = {"handle_token": ("s", token), "subject": ("s", subject), "attachment_fds": ("ah", [file])}
            call = new_method_call(DBusAddress(PATH, SERVICE, _INTERFACE), "ComposeEmail", "sa{sv}", ("", options))
            reply = bus.send_and_get_reply(call, timeout=ANSWER_LIMIT_S)
        finally:
            os.close(file)
        if reply.header.message_type is not MessageType.method_return:
            return False
        deadline_s = time.monotonic() + DIALOG_LIMIT_S
        while not answers:
            # It was there, and has lost its owner.
            if any(not new for _, old, new in (ending.body for ending in endings) if old):
                return False
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise NotReadyError("the desktop's dialog was not answered", "choose a mail program in it")
            with suppress(TimeoutError):
                bus.recv_messages(timeout=left_s)
        code = answers.popleft().body[0]
    if code == CANCELLED:
        raise CaptureError("no mail was opened: the desktop's dialog was closed", "choose a mail program in it")
    return bool(code == GIVEN)
