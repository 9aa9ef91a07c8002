"""Marks become chapters, in recordings and in the clips that contain them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from lettered import LETTERS
from reopened import chapters, each_picture, probe
from running import eventually

from capture.events import Command, Event, EventKind, State
from capture.output.chapters import Chapter, chapters_between, fitted_chapters, title_of
from capture.recordings.check import check
from capture.recordings.constant_rate import with_constant_rate
from capture.recordings.transcode import convert, fit
from capture.session.session import Session
from capture.settings.record_settings import RecordSettings
from capture.sources.pattern import read_clock

LIMIT_S = 30.0


def marks(*moments_s: float) -> list[Event]:
    return [Event(EventKind.MARK, at_s, f"at {at_s:g}") for at_s in moments_s]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([], []),
        (marks(0.0), [("at 0", 0.0, 10.0)]),
        (marks(4.0), [("Beginning", 0.0, 4.0), ("at 4", 4.0, 10.0)]),
        (marks(0.0, 9.999), [("at 0", 0.0, 9.999), ("at 9.999", 9.999, 10.0)]),
        (marks(2.0, 2.0004, 3.0), [("Beginning", 0.0, 2.0), ("at 2, at 2.0004", 2.0, 3.0), ("at 3", 3.0, 10.0)]),
        (marks(10.0, 11.0), []),
    ],
)
def test_chapters_lie_between_marks(found: list[Event], wanted: list[tuple[str, float, float]]) -> None:
    assert chapters_between(found, 10.0) == [Chapter(*chapter) for chapter in wanted]


@pytest.mark.parametrize(
    ("text", "title"),
    [("Ähem", "Ähem"), (" two\twords\n", "two words"), ("\x1b[2J", "[2J"), ("", "Mark 7"), (" \n", "Mark 7")],
)
def test_a_title_is_one_line_and_never_empty(text: str, title: str) -> None:
    assert title_of(text, 7) == title


class Running:
    """Runs a session that records the test pattern, in a thread."""

    def __init__(self, path: Path, **more: Any) -> None:
        self.ready = threading.Event()
        self.session = Session(RecordSettings(path, pattern=True, **more), on_ready=self.ready.set)
        self._thread = threading.Thread(target=self.session.run)
        self._thread.start()
        assert self.ready.wait(LIMIT_S)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.send(Command.QUIT, "test")
        self.join()

    def join(self) -> None:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the session hangs"

    @property
    def epoch_s(self) -> float:
        feed = self.session._core.feed
        assert feed is not None
        return feed.pipeline.timeline.epoch_s

    def ask(self, command: Command, text: str = "", *, at_s: float | None = None, **options: Any) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        self.session.send(command, "test", at_s=at_s, text=text, answer=answers.append, options=options)
        eventually(lambda: answers, f"the answer to {command}")
        assert answers[0]["ok"], answers[0]
        return answers[0]

    def until(self, seconds: float, of: str) -> None:
        eventually(lambda: self.ask(Command.STATUS)[of] >= seconds, f"{seconds} s of {of}")


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm"])
def test_marks_become_chapters_from_the_first_moment_to_the_last(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{extension}"
    with Running(path, duration_s=1.5) as running:
        for at_s, name in ((0.0, "Zu Beginn, 始め"), (0.5, "½"), (1.49, "just before the stop")):
            running.ask(Command.MARK, name, at_s=running.epoch_s + at_s)
        running.join()
    found = chapters(path)
    assert [title for title, _, _ in found] == ["Zu Beginn, 始め", "½", "just before the stop"]
    assert [start_s for _, start_s, _ in found] == pytest.approx([0.0, 0.5, 1.49], abs=0.002)
    assert [end_s for _, _, end_s in found] == pytest.approx([0.5, 1.49, 1.5], abs=0.03)
    # The titles are not a subtitle track.
    assert {stream["codec_type"] for stream in probe(path)["streams"]} <= {"video", "audio", "data"}
    assert check(path).ok


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("exact", [False, True])
def test_a_clip_has_the_marks_made_during_it(exact: bool, extension: str, tmp_path: Path) -> None:
    with Running(tmp_path / f"out.{extension}", standby=True, replay_s=30.0) as running:
        running.until(0.3, "buffer_s")
        running.ask(Command.MARK, "long ago")
        running.until(1.2, "buffer_s")

        def mark(name: str) -> float:
            """Make a mark, and wait until the buffer holds more; return the media time of the mark."""
            running.ask(Command.MARK, name)
            at_s: float = running.session._core.feed.ledger.of(EventKind.MARK)[-1].at_s  # type: ignore[union-attr]
            running.until(running.ask(Command.STATUS)["buffer_s"] + 0.4, "buffer_s")
            return at_s

        marked_s = [mark("Ähem"), mark("")]
        # A mark made during a recording belongs to the recording and to the clip.
        running.ask(Command.START)
        running.until(0.3, "elapsed_s")
        marked_s.append(mark("recorded"))
        now_s = running.session._core.feed.pipeline.timeline.media_s(time.monotonic())  # type: ignore[union-attr]
        last_s = now_s - marked_s[0] + 0.1
        clip = running.ask(Command.CLIP, output=str(tmp_path / f"clip.{extension}"), last_s=last_s, exact=exact)
        take = running.ask(Command.STOP)
    found = chapters(Path(clip["path"]))
    assert found[0][0] in ("Beginning", "long ago")
    assert [title for title, _, _ in found[-3:]] == ["Ähem", "Mark 3", "recorded"]
    assert found[-1][2] == pytest.approx(clip["duration_s"], abs=0.05)
    assert_placed(found[-3:], marked_s, Path(clip["path"]))
    assert clip["check"] == "ok"
    recorded = chapters(Path(take["path"]))
    assert (recorded[0][0], recorded[-1][0]) == ("Beginning", "recorded")
    assert_placed(recorded[-1:], marked_s[-1:], Path(take["path"]))


def assert_placed(found: list[tuple[str, float, float]], marked_s: list[float], path: Path) -> None:
    """Assert that each chapter begins when its mark was made, by the clock in the pictures, which shows media time."""
    clocks_s = [read_clock(picture) / 1000 - at_s for at_s, picture in each_picture(path)]
    for (_, start_s, _), at_s in zip(found, marked_s, strict=True):
        assert at_s - start_s == pytest.approx(float(np.median(clocks_s)), abs=0.03)


def test_fit_and_convert_keep_the_chapters_where_they_can(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with Running(path, duration_s=1.5) as running:
        running.ask(Command.MARK, "ümlaut", at_s=running.epoch_s + 0.5)
        running.join()
    before, size = chapters(path), path.stat().st_size
    made = fit(path, size * 2 // 3)
    assert made.stat().st_size < size
    assert chapters(made) == before
    assert [title for title, _, _ in before] == ["Beginning", "ümlaut"]
    converted = chapters(convert(made, "ogg"))
    assert [title for title, _, _ in converted] == ["Beginning", "ümlaut"]
    assert [start_s for _, start_s, _ in converted] == pytest.approx([start_s for _, start_s, _ in before], abs=0.001)


def test_a_mark_without_a_recording_is_refused(tmp_path: Path) -> None:
    with Running(tmp_path / "out.mkv", standby=True) as running:
        answers: list[dict[str, Any]] = []
        running.session.send(Command.MARK, "test", answer=answers.append)
        eventually(lambda: answers, "an answer")
        assert answers == [{"ok": False, "error": "nothing is being recorded yet"}]
        assert running.session.state is State.STANDBY


def test_what_an_mp4_cannot_hold_is_named() -> None:
    chapters = [Chapter(f"Mark {number}", number, number + 1.0) for number in range(301)]
    assert fitted_chapters(chapters, "matroska") == (chapters, "")
    assert fitted_chapters(chapters[:255], "mp4") == (chapters[:255], "")
    kept, note = fitted_chapters(chapters, "mp4")
    assert kept == chapters[:255]
    assert note == "the last 46 of 301 chapters do not fit into the file: record to .mkv to keep everything"


@pytest.mark.parametrize("letter", LETTERS)
def test_a_title_is_cut_between_letters(letter: str) -> None:
    (kept,), note = fitted_chapters([Chapter(letter * 200, 0.0, 1.0)], "ipod")
    assert note == "long titles of chapters (1) were cut to 255 bytes: record to .mkv to keep everything"
    size = len(letter.encode())
    assert kept.title == letter * (252 // size) + "…"


#: A title of 600 bytes, and what an MP4 keeps of it.
LONG: Final = "u\u0308" * 200
SHORTENED: Final = "u\u0308" * 84 + "…"


def test_clips_conversions_and_rewritten_files_cut_titles_between_letters(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with Running(tmp_path / "out.mp4", standby=True, replay_s=30.0) as running:
        running.until(0.3, "buffer_s")
        running.ask(Command.MARK, LONG)
        running.until(1.2, "buffer_s")
        answer = running.ask(Command.CLIP, output=str(clip))
    assert answer["note"] == "long titles of chapters (1) were cut to 255 bytes: record to .mkv to keep everything"
    assert [title for title, _, _ in chapters(clip)] == ["Beginning", SHORTENED]
    whole = tmp_path / "whole.mkv"
    with Running(whole, duration_s=1.5) as running:
        running.ask(Command.MARK, LONG, at_s=running.epoch_s + 0.5)
        running.join()
    assert [title for title, _, _ in chapters(whole)] == ["Beginning", LONG]
    made = [convert(whole, "mp4"), with_constant_rate(whole, tmp_path / "constant.mp4", 60.0)]
    for path in made:
        assert path is not None
        assert [title for title, _, _ in chapters(path)] == ["Beginning", SHORTENED]
        assert check(path).ok
