"""Saves clips from a replay buffer, each on its own thread, while the buffer keeps filling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from capture.errors import CaptureError, NotReadyError, OutputError, RecordingError, UsageError, in_one_line
from capture.events import Event, EventKind, Request, Summary
from capture.formats import CLIP_FORMATS, CONTAINERS
from capture.output.chapters import chapters_between, fitted_chapters
from capture.output.file_size import as_limit
from capture.output.free_name import under_free_name
from capture.output.ledger_file import LedgerFile
from capture.output.locked_file import is_being_recorded, taken_by_another
from capture.output.naming import dated_name
from capture.output.tags import Tags
from capture.pipeline.feed import Feed
from capture.recordings.scratch import named_instead, scratch_folder
from capture.replay.clip import Clip
from capture.replay.clip_writer import save
from capture.session.clip_summary import summarise_clip
from capture.session.tags import tags_of
from capture.settings.clip_order import ClipOrder
from capture.settings.record_settings import RecordSettings
from capture.system.durable import publish
from capture.threads.worker import Worker

__all__ = ["ClipSaver"]

#: A clip gets a note when the buffer is shorter than the requested length by more than this.
_SHORT_S: Final = 0.5


class _Written(NamedTuple):
    """A clip's file, the moment in the feed where it starts, and the encoder of its picture if it was encoded again."""

    path: Path
    begins_s: float
    encoded_by: str | None


class ClipSaver:
    """Saves clips on request. The session's thread calls it. Its own threads have ended when `close` returns.

    `emit` is called with the `Summary` of each clip, or with an `Event` that says what went wrong. A clip that cannot
    be saved leaves the buffer as it is, for the next try.
    """

    def __init__(self, settings: RecordSettings, emit: Callable[[Event | Summary], None]) -> None:
        self._settings = settings
        self._emit = emit
        self._workers: list[Worker] = []
        #: The share of the conversion of the latest clip that is done; 0 when none is converted.
        self.done = 0.0
        #: The summary of every clip that was saved.
        self.saved: list[Summary] = []

    def save(self, feed: Feed, request: Request) -> None:
        """Save the buffer of `feed` up to the moment of `request` on another thread, which then answers it."""
        worker = Worker("clip", lambda: self._handle(feed, request))
        self._workers = [*(each for each in self._workers if not each.join(0.0)), worker]
        worker.start_or_run()

    def close(self) -> None:
        """Wait until all clips are saved."""
        for worker in self._workers:
            worker.join()

    def _handle(self, feed: Feed, request: Request) -> None:
        try:
            summary, note = self._save_clip(feed, request)
        except Exception as error:
            why = in_one_line(error)
            self._emit(Event(EventKind.CLIP_FAILED, 0.0, f"the clip was not saved, and the buffer is kept: {why}"))
            _answer(request, {"ok": False, "error": why, "exit_code": getattr(error, "exit_code", 1)})
            return
        self.saved.append(summary)
        self._emit(summary)
        if note:
            self._emit(Event(EventKind.CLIP, 0.0, note))
        _answer(request, {"ok": True, "note": note, **summary.as_json()})

    def _save_clip(self, feed: Feed, request: Request) -> tuple[Summary, str]:
        """Save a clip and return its summary and a note for the user, "" if there is none."""
        order = ClipOrder.of(request.options)
        buffer, timeline = feed.buffer, feed.pipeline.timeline
        assert buffer is not None  # noqa: S101 - the session has checked it
        until_s = timeline.media_s(request.at_s)
        feed.catch_up(until_s)
        kept_s = buffer.seconds
        wanted_s = self._settings.replay_s or 0.0 if order.last_s is None else order.last_s
        clip = buffer.snapshot(wanted_s, until_s)
        if clip.is_empty:
            raise CaptureError("the replay buffer is still empty", "try again in a moment")
        marks = feed.ledger.of(EventKind.MARK) if feed.ledger is not None else ()
        written, note = self._write_or_fall_back(clip, order, marks)
        if order.last_s is not None and order.last_s > kept_s + _SHORT_S:
            note = f"{order.last_s:g} s were requested, but the buffer has only {kept_s:.1f} s{note and '; '}{note}"
        begins_s = written.begins_s
        summary = summarise_clip(feed.pipeline, clip, written.path, encoded_by=written.encoded_by)
        note = "; ".join(filter(None, (note, self._left_out(written, marks, clip.until_s))))
        if order.max_bytes is not None:
            note = "; ".join(filter(None, (_shrinking(feed, summary, order.max_bytes), note)))
        if feed.ledger is not None:
            summary = replace(summary, events=feed.ledger.between(begins_s, clip.until_s))
        if order.ledger or self._settings.ledger:
            ledger, trouble = _write_ledger(summary, overwrite=order.overwrite)
            return replace(summary, ledger=ledger), "; ".join(filter(None, (note, trouble)))
        return summary, note

    def _write_or_fall_back(self, clip: Clip, order: ClipOrder, marks: Sequence[Event]) -> tuple[_Written, str]:
        """Write the clip to its path or, if that fails, into the fallback folder; also return a note for the user."""
        # Once, so that the name and the tags have the same date.
        now = _now()
        wanted = order.output or self._settings.output.parent / dated_name(self._ending(order), now)
        tags = tags_of(self._settings, now)
        try:
            return self._write(clip, wanted, order, marks, tags), ""
        except OutputError as error:
            fallback = self._settings.fallback_folder
            if fallback is None:
                raise
            written = self._write(clip, fallback / wanted.name, replace(order, output=None), marks, tags)
            return written, f"{wanted} could not be written ({error.message}): the clip is in {fallback}"

    def _ending(self, order: ClipOrder) -> str:
        return order.format or self._settings.output.suffix[1:]

    def _write(self, clip: Clip, path: Path, order: ClipOrder, marks: Sequence[Event], tags: Tags) -> _Written:
        """Write the clip to `path`, converted as ordered; if the user did not choose the name, to the next free one.

        The clip gets its name when it is complete, so that what a kill leaves behind is not mistaken for a clip.
        """
        recorded, ending = self._settings.output.suffix[1:].lower(), path.suffix[1:].lower()
        converts = ending != recorded and ending in CLIP_FORMATS
        with scratch_folder(path.parent) as folder:
            made = folder / f"clip.{recorded if converts else ending}"
            try:
                quality = self._settings.quality
                begins_s = save(clip, made, exact=order.exact, quality=quality, marks=marks, tags=tags)
                encoded_by = None
                if converts or (order.max_bytes is not None and made.stat().st_size > order.max_bytes):
                    made, encoded_by = self._convert(made, ending if converts else None, order.max_bytes)
            except (OutputError, RecordingError, UsageError) as error:
                raise type(error)(named_instead(error.message, folder, str(path)), error.remedy) from error
            if order.overwrite and order.output is not None:
                _replace(made, path)
                return _Written(path, begins_s, encoded_by)
            free = under_free_name(made, path, chosen=order.output is not None)
            return _Written(free, begins_s, encoded_by)

    def _convert(self, made: Path, form: str | None, max_bytes: int | None) -> tuple[Path, str | None]:
        """Convert a clip to another format, or re-encode it to fit into `max_bytes`.

        Returns the new file, and the encoder of its picture; None if that was copied.
        """
        # Imported here because few clips are re-encoded.
        from capture.recordings.transcode import remake

        try:
            return remake(made, form, max_bytes, self._note_done)
        finally:
            self.done = 0.0

    def _left_out(self, written: _Written, marks: Sequence[Event], until_s: float) -> str:
        """Return what a clip cannot hold of its chapters, "" if nothing."""
        kind = CONTAINERS.get(written.path.suffix[1:].lower())
        if kind is None:
            return ""
        chapters = chapters_between(marks, until_s - written.begins_s, written.begins_s)
        # What is converted is no voice note any longer.
        voice = self._settings.voice and kind == self._settings.container
        return fitted_chapters(chapters, kind.format, voice=voice)[1]

    def _note_done(self, share: float) -> None:
        self.done = share


def _shrinking(feed: Feed, clip: Summary, max_bytes: int) -> str:
    """Return a note about the size of the clip's picture, "" if it is as large as the recorded one."""
    recorded, saved = feed.pipeline.video_summary(), clip.video
    if recorded is None or saved is None or (saved.width, saved.height) == (recorded.width, recorded.height):
        return ""
    return f"shrunk to {saved.width}x{saved.height} to fit {as_limit(max_bytes)}"


def _replace(made: Path, path: Path) -> None:
    """Rename a finished file to `path`, in place of a file that is there.

    Raises `UsageError` if a recorder is writing that one, `OutputError` if it cannot be written.
    """
    if is_being_recorded(path):
        raise taken_by_another(path)
    try:
        publish(made, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "choose another folder") from error


def _write_ledger(clip: Summary, *, overwrite: bool) -> tuple[str | None, str]:
    """Write the clip's ledger beside it; return its path, None if there is none, and what went wrong, "" if nothing."""
    troubles: list[OutputError] = []
    try:
        file = LedgerFile(Path(clip.path), troubles.append, overwrite=overwrite)
    except (OutputError, NotReadyError) as error:
        return None, str(error)
    for event in clip.events:
        file.add(event)
    file.end(clip.duration_s, clip.stopped_by)
    return str(file.path), "; ".join(map(str, troubles))


def _now() -> datetime:
    return datetime.now().astimezone()


def _answer(request: Request, content: dict[str, Any]) -> None:
    if request.answer is not None:
        with suppress(Exception):
            request.answer(content)
