"""Asks the system to let the threads that read sound run before others.

On a machine that is too busy, a frame can be dropped; sound cannot. Reading it takes a thousandth of a processor, but
the thread has to run before the sound server's buffer is full. Each way of asking is optional: a refusal, or a system
without it, changes nothing.

1. rtkit, which raises the priority of desktop users' sound programs (`MakeThreadHighPriority`).
2. Real time, where a limit allows it (`RLIMIT_RTPRIO`, as for the group `audio`), at the lowest real-time priority.
3. A lower niceness, as far as a limit allows it (`RLIMIT_NICE`).

rtkit also gives real time, but only to a process that the kernel kills when one of its real-time threads computes for
0.2 s (`RLIMIT_RTTIME`). Python's garbage collector may do that in any thread, so we do not ask for it, and ask for real
time only where there is no such limit.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

__all__ = ["raise_own_priority", "raise_priority"]

#: The niceness of sound programs: that of PulseAudio and PipeWire.
NICENESS: Final = -11

#: The lowest real-time priority is above every thread that is not real-time, and below those of the sound server.
REAL_TIME_PRIORITY: Final = 1

#: How long rtkit may take for an answer. Nothing waits for it.
ANSWER_LIMIT_S: Final = 1.0

_RTKIT: Final = "org.freedesktop.RealtimeKit1"
_RTKIT_PATH: Final = "/org/freedesktop/RealtimeKit1"
_SYSTEM_BUS: Final = Path("/run/dbus/system_bus_socket")

#: `RLIMIT_RTTIME` (getrlimit(2)); Python has no name for it.
_RTTIME: Final = 15


def raise_own_priority() -> None:
    """Ask for a higher priority of the calling thread, without waiting for the answer."""
    if sys.platform == "linux":
        work = partial(raise_priority, threading.get_native_id())
        # Python starts no thread after the main thread has ended.
        with suppress(RuntimeError):
            threading.Thread(target=work, name="priority", daemon=True).start()


def raise_priority(thread: int) -> str:
    """Raise the priority of a thread of this process, by its native id; return how, or "" if every way was refused."""
    for name, way in _WAYS:
        with suppress(Exception):
            if way(thread):
                return name
    return ""


def _by_rtkit(thread: int) -> bool:
    if "DBUS_SYSTEM_BUS_ADDRESS" not in os.environ and not _SYSTEM_BUS.exists():
        return False
    # Loading it takes 20 ms, and most containers have no system bus.
    from jeepney import DBusAddress, MessageType, Properties, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    rtkit = DBusAddress(_RTKIT_PATH, _RTKIT, _RTKIT)
    with closing(open_dbus_connection("SYSTEM")) as bus:

        def ask(message: Any) -> Any:
            answer = bus.send_and_get_reply(message, timeout=ANSWER_LIMIT_S)
            return answer.body if answer.header.message_type is MessageType.method_return else None

        found = ask(Properties(rtkit).get("MinNiceLevel"))
        niceness = max(NICENESS, int(found[0][1])) if found else NICENESS
        return ask(new_method_call(rtkit, "MakeThreadHighPriority", "ti", (thread, niceness))) is not None


def _by_real_time(thread: int) -> bool:
    if sys.platform != "linux":
        return False
    import resource

    if resource.getrlimit(_RTTIME)[0] != resource.RLIM_INFINITY:
        return False
    # Children of the thread would inherit it.
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(thread, policy, os.sched_param(REAL_TIME_PRIORITY))
    return True


def _by_niceness(thread: int) -> bool:
    if sys.platform != "linux":
        return False
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
        return True
    import resource

    # The limit counts from 20, the niceness below the lowest priority.
    least = 20 - resource.getrlimit(resource.RLIMIT_NICE)[0]
    if least >= os.getpriority(os.PRIO_PROCESS, thread):
        return False
    os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, least))
    return True


_WAYS: Final[Sequence[tuple[str, Callable[[int], bool]]]] = (
    ("rtkit", _by_rtkit),
    ("real time", _by_real_time),
    ("niceness", _by_niceness),
)
