"""Waits, between recordings, for what begins the next one."""

from __future__ import annotations

from dataclasses import replace

from capture.errors import NotReadyError, OutputError
from capture.event_kinds import EventKind
from capture.events import Command, Event, Progress, Request, State
from capture.output.disk_space import check_room
from capture.output.naming import check_writable
from capture.session.commands import Action, Phase, action_of
from capture.session.core import SessionCore
from capture.session.inbox import WAITING_INTERVAL_S, WorkerFailure, refuse
from capture.triggers.bindings import as_readable

__all__ = ["Waiting"]


class Waiting:
    """Used by the session's thread, once its triggers have started."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._settings = core.settings
        self._phase = Phase.STANDBY if core.settings.standby else Phase.ARMED

    def await_begin(self) -> Request | None:
        """Wait for the request that begins a recording, which is still to be answered; None when the session ends."""
        while True:
            buffer_s, buffer_bytes = self._core.buffered
            self._core.emit(
                Progress(
                    self._core.state,
                    0.0,
                    0,
                    waiting_for=self._waiting_for,
                    buffer_s=buffer_s,
                    buffer_bytes=buffer_bytes,
                )
            )
            message = self._core.inbox.receive(WAITING_INTERVAL_S)
            if isinstance(message, WorkerFailure):
                self._core.note_failure(message)
                if buffer_s:
                    # Nobody asked for a file of it, and every desktop that its user logs out of ends like this.
                    lost = f"the replay buffer's last {buffer_s:.0f} s were not saved"
                    self._core.record_event(EventKind.BUFFER_LOST, lost)
                self._core.state = State.FAILED
                return None
            if not isinstance(message, Request):
                continue
            if message.command is Command.STOP and message.given_by == "hotkey":
                # The key of a hold was let go after its recording had reached its duration.
                continue
            match action_of(self._phase, message.command):
                case Action.BEGIN if self._can_begin(message):
                    return message
                case Action.BEGIN:
                    pass
                case Action.END:
                    self._core.answer(message)
                    return None
                case Action.CLIP:
                    self._core.save_clip(message)
                case Action.MARK if self._core.feed is not None and self._core.feed.is_buffering:
                    # For the clips that it falls into.
                    self._core.emit(replace(self._core.feed.mark(message.at_s, message.text), at_s=0.0))
                    self._core.answer(message)
                case Action.MARK:
                    refuse(message, "nothing is being recorded yet")
                case Action.ANSWER:
                    self._core.answer(message)
                case refusal:
                    refuse(message, str(refusal))

    def _can_begin(self, beginning: Request) -> bool:
        """Whether there is room for a recording; if not, the request is refused and the session goes on waiting."""
        try:
            if self._settings.is_numbered:
                check_writable(self._settings.output)
            check_room(self._settings.output.parent)
        except (NotReadyError, OutputError) as error:
            refuse(beginning, str(error))
            self._core.emit(Event(EventKind.NOT_BEGUN, 0.0, f"nothing is recorded: {error}"))
            return False
        return True

    @property
    def _waiting_for(self) -> str:
        hold = self._settings.hold
        key = as_readable(hold) if hold else "a key" if self._settings.standby else ""
        return " or ".join(filter(None, ("sound" if self._settings.wait_for_sound else "", key)))
