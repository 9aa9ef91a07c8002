"""The state that the parts of a session share: no event is lost between two threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest
from takes import LIMIT_S

from capture.clock import MonotonicClock
from capture.events import Event, EventKind
from capture.session.core import SessionCore
from capture.settings.record_settings import RecordSettings


class Noted:
    """Stands in for a take: notes its events."""

    def __init__(self) -> None:
        self.details: list[str] = []

    def record_event(self, event: Event) -> None:
        self.details.append(event.detail)

    def record_now(self, kind: EventKind, detail: str) -> None:
        self.details.append(detail)


def test_an_event_that_comes_while_a_take_is_adopted_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making, go_on = threading.Event(), threading.Event()

    def make_slowly(*what: Any) -> Event:
        making.set()
        assert go_on.wait(LIMIT_S)
        return Event(*what)

    monkeypatch.setattr("capture.session.core.Event", make_slowly)
    core = SessionCore(RecordSettings(tmp_path / "out.ogg", screen=None), MonotonicClock(), lambda event: None)
    take = Noted()
    noting = threading.Thread(target=core.record_event, args=(EventKind.VOLUME, "Speakers is at 20 %"))
    adopting = threading.Thread(target=core.adopt, args=(cast(Any, take),))
    noting.start()
    assert making.wait(LIMIT_S)
    adopting.start()
    # It has to wait; if it did not, it would be over by then.
    adopting.join(0.2)
    go_on.set()
    for thread in (noting, adopting):
        thread.join(LIMIT_S)
    assert take.details == ["Speakers is at 20 %"]
