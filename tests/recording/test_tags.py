"""The tags of recordings, as other programs read them."""

from __future__ import annotations

import getpass
import socket
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from reopened import probe

import capture
from capture.recordings.check import check
from capture.recordings.join import join
from capture.recordings.transcode import convert
from capture.recordings.trim import trim
from capture.session.tags import tags_of
from capture.settings.audio_tracks import tracks_of
from capture.settings.record_settings import RecordSettings

TITLE = "Ein Gespräch"


def record(path: Path, **options: Any) -> Path:
    capture.record(path, pattern=True, duration_s=0.6, **options)
    return path


def tags_in(path: Path) -> dict[str, str]:
    """Return the tags of a file; those of Ogg are with its track."""
    found = probe(path)
    tags = {**found["format"].get("tags", {}), **(found["streams"][0].get("tags", {}) if path.suffix == ".ogg" else {})}
    return {name.lower(): value for name, value in tags.items()}


def vendor_and_comments(path: Path) -> tuple[bytes, list[bytes]]:
    """Return what the comment header of an Ogg Opus file holds."""
    data = path.read_bytes()
    at = data.index(b"OpusTags") + 8
    texts: list[bytes] = []
    for _ in range(2):
        (size,) = struct.unpack_from("<I", data, at)
        if not texts:
            texts.append(data[at + 4 : at + 4 + size])
            at += 4 + size
    (count,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return texts[0], texts[1:]


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ogg", "m4a", "mp3", "flac", "wav"])
def test_a_recording_says_what_it_is(extension: str, tmp_path: Path) -> None:
    path = record(tmp_path / f"talk.{extension}", title=TITLE)
    trimmed = trim(path, tmp_path / f"part.{extension}", 0.1, 0.5).path
    joined = join([path, trimmed], tmp_path / f"all.{extension}").path
    for each in (path, trimmed, joined):
        tags = tags_in(each)
        assert tags["title"] == TITLE
        begun = datetime.fromisoformat(tags["date"])
        assert abs((datetime.now() - begun).total_seconds()) < 60
        assert tags["comment"].startswith("Recorded with capture: test ")
        if extension in ("mp4", "mkv", "m4a"):
            made = datetime.fromisoformat(tags["creation_time"])
            assert abs(made.timestamp() - begun.timestamp()) < 2
        content = each.read_bytes().lower()
        for private in (getpass.getuser(), socket.gethostname(), str(tmp_path)):
            assert len(private) < 5 or private.lower().encode() not in content


@pytest.mark.parametrize(("extension", "form"), [("mkv", "mp4"), ("ogg", "m4a")])
def test_a_converted_clip_keeps_them(extension: str, form: str, tmp_path: Path) -> None:
    path = record(tmp_path / f"talk.{extension}", title=TITLE)
    before = tags_in(path)
    after = tags_in(convert(path, form))
    assert {name: after.get(name) for name in ("title", "date", "comment")} == {
        name: before[name] for name in ("title", "date", "comment")
    }


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_tracks_have_names(extension: str, tmp_path: Path) -> None:
    path = record(tmp_path / f"talk.{extension}")
    for each in (path, trim(path, tmp_path / f"part.{extension}", 0.1).path):
        tag = "title" if extension == "mkv" else "handler_name"
        names = [stream["tags"].get(tag) for stream in probe(each)["streams"]]
        assert names[1:] == ["internal audio"]


def test_tags_name_no_window_and_no_device() -> None:
    sources = ["internal+mic", "app:firefox", "alsa_output.usb-Annas_Headset"]
    tags = tags_of(
        RecordSettings(Path("talk.mp4"), audio=tracks_of(sources), window="Letter to Anna"), datetime.now().astimezone()
    )
    assert tags.of_tracks == ("", "internal audio + microphone", "firefox", "sound device")
    assert tags.of_file["comment"] == (
        "Recorded with capture: window, internal audio + microphone, firefox, sound device"
    )


@pytest.mark.parametrize("title", [None, TITLE])
def test_a_voice_note_names_its_maker_as_messengers_do(title: str | None, tmp_path: Path) -> None:
    path = record(tmp_path / "note.ogg", voice=True, title=title)
    for each in (path, trim(path, tmp_path / "part.ogg", 0.1).path, join([path, path], tmp_path / "two.ogg").path):
        vendor, comments = vendor_and_comments(each)
        assert vendor == b"WhatsApp"
        assert comments == ([f"title={TITLE}".encode()] if title else [])
        # Its checksum is right, or it would have no tags.
        assert check(each).ok
        assert tags_in(each).get("title") == title


def test_other_sound_does_not(tmp_path: Path) -> None:
    vendor, _ = vendor_and_comments(record(tmp_path / "talk.ogg"))
    assert vendor.startswith(b"Lavf")
