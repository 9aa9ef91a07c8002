"""`import` reads the voice notes of iPhones, older phones and desktop clients, and says what only they can read."""

from __future__ import annotations

import json
import random
import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from messenger_notes import Home, amr, chunk, imported, opus_in_caf, run, voice, wma
from written import Picture, write

from capture.recordings.check import check
from capture.recordings.messengers.note_sound import CUT_OFF, NOT_SOUND, NoteSound
from capture.recordings.messengers.sound import sound_of
from capture.recordings.sound_file import SoundFile

#: 2023-11-03, 10:22:33 UTC.
RECORDED_S = 1_699_006_953


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("notes")
    recorded = f"{datetime.fromtimestamp(RECORDED_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "amr": amr(1.0),
        "awb": amr(2.0, is_wide=True),
        "caf": opus_in_caf(1.5),
        "wma": wma(folder / "a.wma", 1.2),
        "3gp": voice(folder / "a.3gp", 1.4),
        "m4a": voice(folder / "a.m4a", 1.3, creation_time=recorded),
        "aac": voice(folder / "a.aac", 1.3),
        "film": write(folder / "film.mp4", (), Picture()).read_bytes(),
    }


@pytest.fixture
def home(own_home: Path, notes: dict[str, bytes]) -> Home:
    return Home(own_home, notes)


def test_notes_in_containers_of_phones_are_listed(home: Home) -> None:
    for name, note in {
        "Attachments/ab/11/GUID/Audio Message.caf": "caf",
        "Attachments/ab/12/GUID/Audio Message 2.amr": "amr",
        "WhatsApp/Media/WhatsApp Voice Notes/PTT-20130204-WA0001.amr": "amr",
        "WhatsApp/Media/WhatsApp Voice Notes/PTT-20130205-WA0001.3gp": "3gp",
        "Voicemail/12.amr": "awb",
        "PTT-20130206-WA0001.wma": "wma",
        "inbox/anna_1/audio/audioclip-1699006953123-2456.mp4": "m4a",
        "your_instagram_activity/messages/audioclip-54244545-512586.mp4.ogg": "m4a",
        "Camera/VID_1.3gp": "film",
        "Camera/VID_2.mp4": "film",
        "Music/song.wma": "wma",
        "exported/2020-04-01T13-47-49.821000_00_None.aac": "aac",
    }.items():
        home.put(name, note, "2024-05-06 07:08:09")
    rows = {row["name"]: row for row in imported(home.phone)}
    assert {(name, row["messenger"], row["codec"], row["check"]) for name, row in rows.items()} == {
        ("Audio Message.caf", "iMessage", "opus", "ok"),
        ("Audio Message 2.amr", "iMessage", "amr_nb", "ok"),
        ("PTT-20130204-WA0001.amr", "WhatsApp", "amr_nb", "ok"),
        ("PTT-20130205-WA0001.3gp", "WhatsApp", "aac", "ok"),
        ("PTT-20130206-WA0001.wma", "WhatsApp", "wmav2", "ok"),
        ("12.amr", "", "amr_wb", "ok"),
        ("audioclip-1699006953123-2456.mp4", "Messenger", "aac", "ok"),
        ("audioclip-54244545-512586.mp4.ogg", "Instagram", "aac", "ok"),
        ("2020-04-01T13-47-49.821000_00_None.aac", "Signal", "aac", "ok"),
    }
    lengths = {"caf": 1.5, "Audio Message 2.amr": 1.0, "12.amr": 2.0, "3gp": 1.4, "wma": 1.2}
    for end, length_s in lengths.items():
        (found,) = (row["duration_s"] for name, row in rows.items() if name.endswith(end))
        assert found == pytest.approx(length_s, abs=0.07)


def test_dates_come_from_names_then_containers_then_files(home: Home) -> None:
    def sent_at(name: str, note: str) -> datetime:
        path = home.put(name, note, "2024-05-06 07:08:09")
        (row,) = imported(home.phone)
        path.unlink()
        assert row["has_time"]
        return datetime.fromisoformat(row["sent_at"])

    recorded = datetime.fromtimestamp(RECORDED_S, UTC)
    assert sent_at("audioclip-1612345678901-2.mp4", "m4a") == datetime.fromtimestamp(1_612_345_678, UTC)
    assert sent_at("20231109 102233-7F8E3A21.m4a", "m4a") == datetime(2023, 11, 9, 10, 22, 33).astimezone()
    assert sent_at("New Recording 3.m4a", "m4a") == recorded
    assert sent_at("audioclip-54244545-512586.mp4", "m4a") == recorded
    # The day of the name, and the time within it that the container has.
    assert sent_at(f"PTT-{recorded.astimezone():%Y%m%d}-WA0001.m4a", "m4a") == recorded
    assert sent_at("Audio Message.amr", "amr") == datetime(2024, 5, 6, 7, 8, 9).astimezone()
    # A container that was never given a date says 1904.
    assert sent_at("New Recording.m4a", "3gp") == datetime(2024, 5, 6, 7, 8, 9).astimezone()


def test_copies_are_files_that_play_and_come_once(home: Home) -> None:
    home.put("a/Audio Message.caf", "caf", "2024-05-06 07:08:09")
    home.put("b/Audio Message.caf", "caf", "2024-05-06 07:08:10")
    home.put("PTT-20130204-WA0001.amr", "amr", "2013-02-04 01:00:00")
    home.put("PTT-20130205-WA0001.3gp", "3gp", "2013-02-05 01:00:00")
    home.put("PTT-20130206-WA0001.wma", "wma", "2013-02-06 01:00:00")
    home.put("12.amr", "awb", "2013-02-03 01:00:00")
    home.put("audioclip-1699006953123-2456.mp4", "m4a", "2013-02-03 01:00:00")
    code, out, err = run("import", home.phone, "--copy")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"copied 6 voice notes to {home.sounds}; 1 was there already",
        "2 .amr, 1 .3gp, 1 .caf, 1 .wma files became .m4a, .ogg, which more programs play; the originals stay where "
        "they are",
    ]
    lengths = {path.name: round(check(path).duration_s, 1) for path in home.sounds.iterdir()}
    when = datetime.fromtimestamp(RECORDED_S)
    assert lengths == {
        "iMessage 2024-05-06 07.08.10.ogg": pytest.approx(1.5, abs=0.1),
        "WhatsApp 2013-02-04 01.00.00.ogg": pytest.approx(1.0, abs=0.1),
        "WhatsApp 2013-02-05 01.00.00.m4a": pytest.approx(1.4, abs=0.1),
        "WhatsApp 2013-02-06 01.00.00.ogg": pytest.approx(1.2, abs=0.1),
        "Voice note 2013-02-03 01.00.00.ogg": pytest.approx(2.0, abs=0.1),
        f"Messenger {when:%Y-%m-%d %H.%M.%S}.m4a": pytest.approx(1.3, abs=0.1),
    }
    assert all(check(path).ok for path in home.sounds.iterdir())
    assert (home.sounds / f"Messenger {when:%Y-%m-%d %H.%M.%S}.m4a").read_bytes() == home.notes["m4a"]
    with SoundFile(home.sounds / "iMessage 2024-05-06 07.08.10.ogg") as sound:
        heard = np.concatenate(list(sound.blocks()))[4_800:48_000, 0]
    strongest = np.argmax(np.abs(np.fft.rfft(heard * np.hanning(len(heard))))) * 48_000 / len(heard)
    assert strongest == pytest.approx(440, abs=3)
    rows = imported(home.phone, "--copy")
    assert all(row["was_there"] and not row["converted"] for row in rows)
    assert all(row["was_there"] is False for row in imported(home.phone, "--copy", "--format", "m4a", "-n", "1"))


def test_what_only_signal_can_read_is_said(home: Home) -> None:
    folder = "Signal/attachments.noindex/ab"
    home.put(f"{folder}/ab{1:062x}", "aac", "2024-05-06 07:08:09")
    home.put(f"{folder}/ab{2:062x}", "m4a", "2024-05-06 07:08:09")
    for number, content in enumerate((b"\xff\xd8\xff\xe0" + bytes(28), b"Dear diary", bytes(range(7, 39))), 3):
        home.put(f"{folder}/ab{number:062x}", "aac", "2024-05-06 07:08:09").write_bytes(content)
    backup = home.put("signal-2026-01-02-03-04-05.backup", "aac", "2026-01-02 03:04:05")
    code, out, err = run("import", home.phone, "--json")
    assert (code, len(json.loads(out)["notes"])) == (0, 2)
    remedy = "which only Signal can read: link Signal Desktop to the phone, export from there with signal-export"
    assert [line.split(" (pipx)")[0] for line in err.splitlines()] == [
        f"capture: 1 attachment of Signal left out, {remedy}",
        f"capture: 1 backup of Signal left out, {remedy}",
    ]
    code, out, err = run("import", backup)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"capture: {backup} cannot be read: Signal encrypts it: link Signal Desktop")


def looked_at(content: bytes) -> NoteSound:
    return sound_of(lambda position, count: content[position : position + count], len(content))


def test_wrong_containers_are_refused_before_ffmpeg_opens_them(notes: dict[str, bytes]) -> None:
    huge = 1 << 40
    caf = b"caff\0\1\0\0" + chunk(b"desc", struct.pack(">d4sIIIII", 48_000, b"opus", 0, 0, 960, 1, 0))
    assert looked_at(opus_in_caf(0.1, packets=struct.pack(">qqii", huge, 9_600, 0, 0) + b"aa")).problem == NOT_SOUND
    slow = chunk(b"desc", struct.pack(">d4sIIIII", 1e-320, b"opus", 0, 8, 960, 1, 0))
    assert looked_at(b"caff\0\1\0\0" + slow + chunk(b"data", bytes(80))).problem == NOT_SOUND
    assert looked_at(caf + chunk(b"kuki", bytes(300_000)) + chunk(b"data", bytes(8))).problem == NOT_SOUND
    assert looked_at(caf + chunk(b"info", b"", huge)).problem == NOT_SOUND
    assert looked_at(caf + chunk(b"free", b"") * 2_000 + chunk(b"data", bytes(8))).problem == NOT_SOUND
    assert looked_at(notes["caf"][:-20]).problem == CUT_OFF
    # A recorder that was killed has not written how long its sound is.
    assert looked_at(opus_in_caf(0.5, data_length=-1)).problem == ""
    assert looked_at(b"#!AMR\n").problem == NOT_SOUND
    # No data in any frame.
    assert looked_at(b"#!AMR\n" + b"\x7c" * 1_500_000).problem == NOT_SOUND
    assert looked_at(notes["amr"][:-3]).problem == CUT_OFF
    made_up = bytearray(notes["wma"])
    made_up[16:24] = struct.pack("<Q", huge)
    assert looked_at(bytes(made_up)).problem == NOT_SOUND


def test_a_codec_that_ffmpeg_does_not_know_does_not_stop_the_others(home: Home) -> None:
    unknown = home.notes["m4a"].replace(b"mp4a", b"xxxx").replace(b"esds", b"free")
    home.put("PTT-20130204-WA0000.m4a", "m4a", "2013-02-04 01:00:00").write_bytes(unknown)
    home.put("PTT-20130204-WA0001.m4a", "m4a", "2013-02-04 01:00:00")
    code, out, _ = run("import", home.phone, "--copy", "--json")
    errors = {row["name"]: row["error"] for row in json.loads(out)["notes"]}
    assert code == 1
    assert "XXXX cannot be read (FFmpeg knows no such sound)" in errors["PTT-20130204-WA0000.m4a"]
    assert errors["PTT-20130204-WA0001.m4a"] == ""


@pytest.mark.parametrize("name", ["amr", "awb", "caf", "wma", "3gp", "m4a"])
def test_damage_anywhere_is_listed_and_copied_or_named(name: str, home: Home) -> None:
    noise = random.Random(name)
    for number in range(8):
        content = bytearray(home.notes[name])
        for _ in range(noise.randint(1, 4)):
            content[noise.randrange(min(len(content), 600))] = noise.choice((0, 0x7F, 0xFF, noise.randrange(256)))
        home.put(f"PTT-20130204-WA{number:04}.{name}", name, "2013-02-04 01:00:00").write_bytes(content)
    code, out, _ = run("import", home.phone, "--copy", "--json")
    rows = json.loads(out)["notes"]
    assert code == int(any(row["error"] for row in rows))
    for row in rows:
        assert bool(row["error"]) == (row["copied_to"] is None)
        assert row["copied_to"] is None or check(Path(row["copied_to"])).plays
