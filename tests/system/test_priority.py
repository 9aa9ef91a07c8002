"""The threads that read sound ask for a higher priority, each way is optional, and nothing fails for want of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from buses import Service, bus
from jeepney import HeaderFields, new_error, new_method_return
from running import eventually

from capture.system import priority

if sys.platform != "linux":
    pytest.skip("priorities are those of Linux", allow_module_level=True)

import resource

RTKIT: Final = "org.freedesktop.RealtimeKit1"
DENIED: Final = "org.freedesktop.DBus.Error.AccessDenied"
THREAD: Final = 4242


class Rtkit(Service):
    """rtkit on a bus: it notes what it is asked for, and grants it or not. Leaving the context ends it."""

    def __init__(self, address: str, *, grants: bool = True, least_niceness: int | None = -15) -> None:
        self.asked: list[tuple[int, int]] = []
        self._grants = grants
        self._least_niceness = least_niceness
        super().__init__(address, RTKIT)

    def answer(self, member: str, message: Any) -> Any:
        fields = message.header.fields
        if member == "Get":
            assert message.body == (RTKIT, "MinNiceLevel")
            if self._least_niceness is None:
                return new_error(message, "org.freedesktop.DBus.Error.UnknownProperty")
            return new_method_return(message, "v", (("i", self._least_niceness),))
        assert (member, fields[HeaderFields.signature]) == ("MakeThreadHighPriority", "ti")
        assert fields[HeaderFields.path] == "/org/freedesktop/RealtimeKit1"
        self.asked.append(message.body)
        return new_method_return(message) if self._grants else new_error(message, DENIED)


@pytest.fixture
def system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bus without services, which this process takes for the system's."""
    with bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def no_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr(priority, "_SYSTEM_BUS", tmp_path / "no bus")


@contextmanager
def rtkit(address: str, **options: Any) -> Iterator[Rtkit]:
    service = Rtkit(address, **options)
    try:
        yield service
    finally:
        service.close()


class Kernel:
    """What the kernel is asked for, and what it grants: the limits of an ordinary user by default."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.real_time = False
        self.limits = {resource.RLIMIT_NICE: 0, priority._RTTIME: resource.RLIM_INFINITY}
        self.niceness = 0
        monkeypatch.setattr(os, "sched_setscheduler", self._set_scheduler)
        monkeypatch.setattr(os, "setpriority", self._set_priority)
        monkeypatch.setattr(os, "getpriority", lambda which, thread: self.niceness)
        monkeypatch.setattr(resource, "getrlimit", lambda number: (self.limits[number],) * 2)

    def _set_scheduler(self, thread: int, policy: int, parameters: Any) -> None:
        assert policy == os.SCHED_RR | os.SCHED_RESET_ON_FORK
        self.asked.append(("real time", thread, parameters.sched_priority))
        if not self.real_time:
            raise PermissionError

    def _set_priority(self, which: int, thread: int, niceness: int) -> None:
        assert which == os.PRIO_PROCESS
        self.asked.append(("niceness", thread, niceness))
        if niceness < 20 - self.limits[resource.RLIMIT_NICE]:
            raise PermissionError
        self.niceness = niceness


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


@pytest.mark.parametrize(("least", "niceness"), [(-15, -11), (-11, -11), (-5, -5), (None, -11)])
def test_rtkit_is_asked_first(system_bus: str, kernel: Kernel, least: int | None, niceness: int) -> None:
    kernel.real_time = True
    with rtkit(system_bus, least_niceness=least) as service:
        assert priority.raise_priority(THREAD) == "rtkit"
    assert service.asked == [(THREAD, niceness)]
    assert kernel.asked == []


def test_the_limits_decide_where_rtkit_refuses(system_bus: str, kernel: Kernel) -> None:
    kernel.real_time = True
    with rtkit(system_bus, grants=False) as service:
        assert priority.raise_priority(THREAD) == "real time"
    assert service.asked == [(THREAD, -11)]
    assert kernel.asked == [("real time", THREAD, 1)]


def test_the_limits_decide_where_there_is_no_rtkit(system_bus: str, kernel: Kernel) -> None:
    kernel.real_time = True
    assert priority.raise_priority(THREAD) == "real time"


@pytest.mark.usefixtures("no_bus")
def test_without_a_bus_nothing_is_loaded_for_it(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jeepney", None)
    kernel.real_time = True
    assert not priority._by_rtkit(THREAD)
    assert priority.raise_priority(THREAD) == "real time"


@pytest.mark.usefixtures("no_bus")
def test_no_real_time_where_the_kernel_would_kill_a_thread_that_computes(kernel: Kernel) -> None:
    kernel.real_time, kernel.limits[priority._RTTIME] = True, 200_000
    kernel.limits[resource.RLIMIT_NICE] = 31
    assert priority.raise_priority(THREAD) == "niceness"
    assert [what for what, *_ in kernel.asked] == ["niceness"]


@pytest.mark.usefixtures("no_bus")
@pytest.mark.parametrize(
    ("limit", "before", "way", "after"),
    [(31, 0, "niceness", -11), (40, 0, "niceness", -11), (25, 0, "niceness", -5), (20, 0, "", 0), (0, 19, "", 19)],
)
def test_the_niceness_is_lowered_as_far_as_allowed(
    kernel: Kernel, limit: int, before: int, way: str, after: int
) -> None:
    kernel.limits[resource.RLIMIT_NICE], kernel.niceness = limit, before
    assert priority.raise_priority(THREAD) == way
    assert kernel.niceness == after


@pytest.mark.usefixtures("no_bus")
def test_a_thread_that_is_gone_is_no_failure() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    # The kernel removes it a little after Python is done with it.
    eventually(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists(), "the end of the thread")
    assert priority.raise_priority(thread.native_id) == ""


@pytest.mark.usefixtures("no_bus")
def test_a_thread_gets_what_this_system_gives() -> None:
    found: list[tuple[str, int, int]] = []

    def work() -> None:
        own = threading.get_native_id()
        way = priority.raise_priority(own)
        found.append((way, os.sched_getscheduler(own), os.getpriority(os.PRIO_PROCESS, own)))

    own, niceness = threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    ((way, policy, raised),) = found
    if way == "real time":
        assert policy == os.SCHED_RR | os.SCHED_RESET_ON_FORK
    else:
        assert (raised < niceness) == (way == "niceness")
    assert os.sched_getscheduler(own) == os.SCHED_OTHER, "and no other thread does"
    assert os.getpriority(os.PRIO_PROCESS, own) == niceness


def test_a_thread_asks_for_itself_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    let_go, done = threading.Event(), threading.Event()

    def ask(thread: int) -> str:
        assert let_go.wait(30)
        asked.append(thread)
        done.set()
        return ""

    monkeypatch.setattr(priority, "raise_priority", ask)
    priority.raise_own_priority()
    assert asked == []
    let_go.set()
    assert done.wait(30)
    assert asked == [threading.get_native_id()]
