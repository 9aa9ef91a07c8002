"""Waits for the request that starts the next recording."""

from __future__ import annotations

from dataclasses import replace

from capture.errors import NotReadyError, OutputError
from capture.events import Command, Event, EventKind, Progress, Request, State
from capture.output.disk_space import check_room
from capture.output.naming import check_writable
from capture.remote.routing import KEEP_BUFFER
from capture.session.commands import Action, Phase, action_of
from capture.session.core import SessionCore
from capture.session.inbox import WAITING_INTERVAL_S, WorkerFailure, refuse
from capture.triggers.bindings import as_readable

__all__ = ["Waiting"]


class Waiting:
    """Obeys commands while nothing is recorded. Used by the session's thread, once its triggers have started."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._settings = core.settings
        self._phase = Phase.STANDBY if core.settings.standby else Phase.ARMED

    def await_begin(self) -> Request | None:
        """Wait for the request that starts a recording, and leave it unanswered; None when the session ends."""
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
                    # Report it, but save no file: every logout ends like this, and the user did not ask for a file.
                    lost = f"the replay buffer's last {buffer_s:.0f} s were not saved"
                    self._core.record_event(EventKind.BUFFER_LOST, lost)
                self._core.state = State.FAILED
                return None
            if not isinstance(message, Request):
                continue
            if message.command is Command.STOP and message.given_by == "hotkey":
                # The hold key was released after its recording had reached its duration.
                continue
            match action_of(self._phase, message.command):
                case Action.BEGIN if self._can_begin(message):
                    return message
                case Action.BEGIN:
                    pass
                case Action.END if message.options.get(KEEP_BUFFER) and self._only_buffers:
                    refuse(message, "nothing is being recorded; to end the replay buffer too, add --all or --name", 2)
                case Action.END:
                    self._core.answer(message)
                    return None
                case Action.CLIP:
                    self._core.save_clip(message)
                case Action.MARK if self._core.feed is not None and self._is_buffering:
                    # The clips that contain this moment get the mark.
                    self._core.emit(replace(self._core.feed.mark(message.at_s, message.text), at_s=0.0))
                    self._core.answer(message)
                case Action.MARK:
                    refuse(message, "nothing is being recorded yet")
                case Action.ANSWER:
                    self._core.answer(message)
                case refusal:
                    refuse(message, str(refusal))

    def _can_begin(self, request: Request) -> bool:
        """Whether there is room for a recording; if not, the request is refused and the session goes on waiting."""
        try:
            if self._settings.is_numbered:
                check_writable(self._settings.output)
            check_room(self._settings.output.parent)
        except (NotReadyError, OutputError) as error:
            refuse(request, str(error))
            self._core.emit(Event(EventKind.NOT_BEGUN, 0.0, f"nothing is recorded: {error}"))
            return False
        return True

    @property
    def _is_buffering(self) -> bool:
        return self._core.feed is not None and self._core.feed.is_buffering

    @property
    def _only_buffers(self) -> bool:
        return self._settings.standby and self._is_buffering

    @property
    def _waiting_for(self) -> str:
        hold = ""
        if self._settings.hold is not None:
            key = as_readable(self._settings.hold)
            hold = f"hold {key} to record" if self._core.hears_keys else "waiting for capture toggle"
        if self._settings.wait_for_sound:
            return f"waiting for {'speech' if self._settings.speech else 'sound'}{hold and ', or '}{hold}"
        if self._settings.wait_for_window:
            return "waiting for a window"
        return hold or ("waiting for a key" if self._settings.standby else "")
