"""`import` finds the voice notes of messengers, lists them without copying, and brings them in once each."""

from __future__ import annotations

import json
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from messenger_notes import Home, imported, run, voice

from capture.recordings.check import check

WEEK = "Android/media/com.whatsapp/WhatsApp/Media/WhatsApp Voice Notes/202344"


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("notes")
    made = {name: voice(folder / f"{name}.opus", length_s) for name, length_s in {"a": 1.0, "b": 2.5, "c": 0.6}.items()}
    return made | {
        "stereo": voice(folder / "stereo.opus", 1.0, "stereo"),
        "m4a": voice(folder / "m4a.m4a", 1.5),
        "aac": voice(folder / "aac.aac", 1.5),
    }


@pytest.fixture
def home(own_home: Path, notes: dict[str, bytes]) -> Home:
    return Home(own_home, notes)


def looks_of(folder: Path) -> dict[Path, tuple[int, int, int, int]]:
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (at.st_mode, at.st_ino, at.st_size, at.st_mtime_ns) for path, at in found.items()}


def test_a_phone_is_listed_by_date_and_length_and_left_alone(home: Home) -> None:
    home.put(f"{WEEK}/PTT-20231103-WA0007.opus", "a", "2023-11-03 10:22:33")
    home.put(f"{WEEK}/PTT-20231104-WA0001.opus", "b", "2024-05-06 00:00:00")
    home.put("WhatsApp/Media/WhatsApp Audio/AUD-20231101-WA0002.opus", "stereo", "2023-11-01 12:00")
    home.put("Telegram/Telegram Audio/5_612.ogg", "c", "2023-11-02 09:00:01")
    home.put("Download/signal-2023-11-05-102233.m4a", "m4a", "2024-01-01 00:00")
    home.put("Music/song.m4a", "m4a", "2023-11-03 00:00")
    home.put(".trash/PTT-20231103-WA0009.opus", "a", "2023-11-03 00:00")
    (home.phone / "PTT-20231103-WA0008.opus").symlink_to("/etc/hostname")
    before = looks_of(home.phone)
    rows = imported(home.phone)
    assert [(row["messenger"], row["name"], row["sent_at"][:19], row["has_time"]) for row in rows] == [
        ("Signal", "signal-2023-11-05-102233.m4a", "2023-11-05T10:22:33", True),
        ("WhatsApp", "PTT-20231104-WA0001.opus", "2023-11-04T00:00:00", False),
        ("WhatsApp", "PTT-20231103-WA0007.opus", "2023-11-03T10:22:33", True),
        ("Telegram", "5_612.ogg", "2023-11-02T09:00:01", True),
    ]
    assert [row["duration_s"] for row in rows] == [pytest.approx(length, abs=0.1) for length in (1.5, 2.5, 1.0, 0.6)]
    assert {row["check"] for row in rows} == {"ok"}
    assert looks_of(home.phone) == before
    assert not home.sounds.exists()
    names = [row["name"] for row in imported(home.phone, "--since", "2023-11-03", "--until", "2023-11-04")]
    assert names == ["PTT-20231104-WA0001.opus", "PTT-20231103-WA0007.opus"]
    assert [row["name"] for row in imported(home.phone, "-n", "1")] == ["signal-2023-11-05-102233.m4a"]
    code, out, err = run("import", home.phone)
    assert (code, err) == (0, "")
    assert out.splitlines()[3].split()[:3] == ["2023-11-03", "10:22", "0:01.0"]
    assert out.splitlines()[-1] == "4 voice notes, 0:05.6. Nothing was copied: --copy does that."


@pytest.mark.parametrize(
    ("name", "sent_at"),
    [
        ("PTT-20231103-WA0007 (1).opus", "2023-11-03T00:00:00"),
        ("00000012-AUDIO-2023-11-03-10-22-33.opus", "2023-11-03T10:22:33"),
        ("WhatsApp Ptt 2023-11-03 at 10.22.33.ogg", "2023-11-03T10:22:33"),
        ("WhatsApp Audio 2023-11-03 at 1.22.33 PM.ogg", None),
        ("WhatsApp Audio 2023-11-03 at 01.22.33 PM.ogg", "2023-11-03T13:22:33"),
        ("audio_12@03-11-2023_10-22-33.ogg", "2023-11-03T10:22:33"),
        ("audio_2023-11-03_10-22-33.ogg", "2023-11-03T10:22:33"),
        ("signal-2023-11-03-10-22-33-123-1.ogg", "2023-11-03T10:22:33"),
        ("PTT-20231399-WA0007.opus", None),
    ],
)
def test_names_say_when_a_note_was_sent(name: str, sent_at: str | None, home: Home) -> None:
    home.put(name, "a", "2024-02-03 04:05:06")
    assert imported(home.phone)[0]["sent_at"][:19] == (sent_at or "2024-02-03T04:05:06")


def test_exported_chats_are_read_in_place(home: Home) -> None:
    chat = home.zip("WhatsApp Chat with Anna.zip", {"PTT-20231109-WA0001.opus": "a", "dir/5_61.oga": "c"})
    home.put("ChatExport/voice_messages/audio_1@03-11-2023_10-22-33.ogg", "b", "2024-01-01")
    rows = imported(chat, home.phone)
    assert [(row["messenger"], row["member"], row["sent_at"][:19]) for row in rows] == [
        ("WhatsApp", "dir/5_61.oga", "2023-11-09T08:00:00"),
        ("WhatsApp", "PTT-20231109-WA0001.opus", "2023-11-09T08:00:00"),
        ("Telegram", None, "2023-11-03T10:22:33"),
    ]
    assert [row["duration_s"] for row in rows] == [pytest.approx(length, abs=0.1) for length in (0.6, 1.0, 2.5)]
    assert rows[0]["path"] == str(chat)


def test_copies_are_whole_private_dated_and_made_once(home: Home) -> None:
    home.put(f"{WEEK}/PTT-20231103-WA0007.opus", "a", "2023-11-03 10:22:33")
    home.put(f"{WEEK}/PTT-20231104-WA0001.opus", "b", "2024-05-06 00:00:00")
    home.put(f"{WEEK}/Sent/PTT-20231104-WA0002.opus", "b", "2024-05-06 00:00:00")
    chat = home.zip("chat.zip", {"PTT-20231103-WA0007.opus": "a", "PTT-20231109-WA0009.opus": "c"})
    rows = imported(home.phone, "--copy")
    assert [row["was_there"] for row in rows] == [False, True, False]
    rows += imported(chat, "--copy")
    assert [(Path(row["copied_to"]).name, row["was_there"]) for row in rows[3:]] == [
        ("WhatsApp 2023-11-09 08.00.00.opus", False),
        ("WhatsApp 2023-11-03 10.22.33.opus", True),
    ]
    assert {path.name: path.read_bytes() for path in home.sounds.iterdir()} == {
        "WhatsApp 2023-11-03 10.22.33.opus": home.notes["a"],
        "WhatsApp 2023-11-04 WA0001.opus": home.notes["b"],
        "WhatsApp 2023-11-09 08.00.00.opus": home.notes["c"],
    }
    for path in home.sounds.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert check(path).ok
    listed = json.loads(run("list", "--json")[1])["recordings"]
    assert [row["recorded_at"][:10] for row in listed] == ["2023-11-09", "2023-11-04", "2023-11-03"]
    code, out, _ = run("import", chat, "--copy")
    assert (code, out) == (0, f"copied 0 voice notes to {home.sounds}; 2 were there already\n")


def test_converted_notes_are_made_once_too(home: Home) -> None:
    home.put("PTT-20231103-WA0007.opus", "a", "2023-11-03 10:22:33")
    home.put("PTT-20231103-WA0008.opus", "c", "2023-11-03 10:22:33")
    home.put("PTT-20231103-WA0009.opus", "a", "2023-11-03 11:00:00")
    rows = imported(home.phone, "--copy", "--format", "m4a")
    assert sorted(path.name for path in home.sounds.iterdir()) == [
        "WhatsApp 2023-11-03 10.22.33.m4a",
        "WhatsApp 2023-11-03 11.00.00.m4a",
    ]
    made = Path(rows[0]["copied_to"])
    report = check(made)
    assert report.ok
    assert report.streams[0].codec == "aac"
    assert report.duration_s == pytest.approx(1.0, abs=0.1)
    assert datetime.fromtimestamp(made.stat().st_mtime) == datetime(2023, 11, 3, 11)
    assert all(row["was_there"] for row in imported(home.phone, "--copy", "--format", "m4a"))
    made.unlink()
    assert sum(not row["was_there"] for row in imported(home.phone, "--copy", "--format", "m4a")) == 1
    # The same container needs no encoding.
    assert (
        Path(imported(home.phone, "--copy", "--format", "ogg", "-n", "1")[0]["copied_to"]).read_bytes()
        == (home.notes["a"])
    )


def decoded(path: Path, form: str) -> Any:
    with av.open(str(path), format=form) as opened:
        return np.concatenate([frame.to_ndarray() for frame in opened.decode(audio=0)], axis=1)


def test_raw_aac_of_signal_becomes_an_m4a_with_the_same_samples(home: Home) -> None:
    note = home.put("signal-2023-11-05-102233.aac", "aac", "2024-01-01")
    home.put("signal-2023-11-06-102233.aac", "aac", "2024-01-01").write_bytes(home.notes["aac"][:-10])
    home.put("signal-2023-11-07-102233.aac", "aac", "2024-01-01").write_bytes(b"\xff\xf1" + bytes(20))
    rows = imported(home.phone)
    assert [(row["check"], row["codec"]) for row in rows] == [
        ("it is not a sound file, or its start is damaged", ""),
        ("its end is missing", "aac"),
        ("ok", "aac"),
    ]
    assert rows[2]["duration_s"] == pytest.approx(1.5, abs=0.15)
    note.rename(home.phone / "x")
    for left in home.phone.glob("*.aac"):
        left.unlink()
    (home.phone / "x").rename(note)
    made = Path(imported(home.phone, "--copy")[0]["copied_to"])
    assert made.name == "Signal 2023-11-05 10.22.33.m4a"
    assert check(made).ok
    assert np.array_equal(decoded(note, "aac"), decoded(made, "mov"))
    assert imported(home.phone, "--copy")[0]["was_there"]
    assert Path(imported(home.phone, "--copy", "--format", "ogg")[0]["copied_to"]).suffix == ".ogg"


def test_a_damaged_note_is_named_and_the_others_are_copied(home: Home) -> None:
    home.put("PTT-20231103-WA0007.opus", "a", "2023-11-03 10:22:33")
    cut = home.put("PTT-20231103-WA0008.opus", "b", "2023-11-03 10:30:00")
    cut.write_bytes(home.notes["b"][:-40])
    home.put("PTT-20231103-WA0009.opus", "b", "2023-11-03").write_bytes(b"no sound at all")
    home.put("signal-2023-11-03-102233.amr", "a", "2023-11-03").write_bytes(b"\x02#!SILK_V3" + bytes(99))
    code, out, err = run("import", home.phone, "--json")
    assert code == 0
    assert {row["name"]: row["check"] for row in json.loads(out)["notes"]} == {
        "PTT-20231103-WA0007.opus": "ok",
        "PTT-20231103-WA0008.opus": "its end is missing",
        "PTT-20231103-WA0009.opus": "it is not a sound file, or its start is damaged",
    }
    assert err == "capture: 1 .amr (SILK) file left out: FFmpeg cannot decode such voice notes\n"
    code, out, err = run("import", home.phone, "--copy")
    assert code == 1
    assert "PTT-20231103-WA0009.opus was not copied: it is not a sound file" in err
    assert out == f"copied 2 voice notes to {home.sounds}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{phone}",), 1, "no voice note was found in {phone} (2 .txt, 1 .m4a files there): name a messenger's folder"),
        (("{phone}/nowhere",), 2, "{phone}/nowhere does not exist: name a folder"),
        (("{phone}/a.txt",), 2, "{phone}/a.txt is neither a folder nor a zip"),
        (("{phone}", "--format", "m4a"), 2, "--format m4a converts what is copied: add --copy"),
        (("{phone}", "-n", "0"), 2, "--newest 0 takes nothing"),
        (("{phone}", "--since", "2026-11-02", "--until", "2026-11-01"), 2, "--since 2026-11-02 is not before"),
    ],
)
def test_what_cannot_be_imported_is_said(arguments: tuple[str, ...], code: int, message: str, home: Home) -> None:
    for name in ("a.txt", "b.txt", "song.m4a"):
        home.put(name, "m4a", "2023-11-03")
    found, out, err = run("import", *(word.format(phone=home.phone) for word in arguments))
    assert (found, out) == (code, "")
    assert err.startswith(f"capture: {message.format(phone=home.phone)}")
    assert err.count("\n") == 1
