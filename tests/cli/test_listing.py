"""`list` shows what is in the recordings folders, and its numbers name a recording for the other verbs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from written import Picture, Sound, write

from capture.cli.live_line import cells
from capture.cli.main import main
from capture.cli.table import cut, laid_out, plain
from capture.output.locked_file import create_locked


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    write(folder / "a.mp4", (Sound(end_s=1.0), Sound(end_s=1.0)), Picture(end_s=1.0))
    write(folder / "b.ogg", (Sound(end_s=1.0),))
    (folder / "cut.ogg").write_bytes((folder / "b.ogg").read_bytes()[:9000])
    return folder


class Home:
    """The user's folders, with the current folder beside them."""

    def __init__(self, path: Path, originals: Path) -> None:
        self.videos, self.sounds = path / "Videos" / "Captures", path / "Music" / "Captures"
        self._originals = originals

    def add(self, original: str, name: str, days_ago: float = 0.0, folder: Path | None = None) -> Path:
        place = folder or (self.videos if original.endswith("mp4") else self.sounds)
        place.mkdir(parents=True, exist_ok=True)
        path = place / name
        shutil.copy(self._originals / original, path)
        at_s = (datetime.now() - timedelta(days=days_ago)).timestamp()
        os.utime(path, (at_s, at_s))
        return path


@pytest.fixture
def home(own_home: Path, tmp_path: Path, originals: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Home(tmp_path, originals)


def run(*arguments: str, out: StringIO | None = None) -> tuple[int, str, str]:
    out, err = out or StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def listed(*arguments: str) -> list[dict[str, Any]]:
    code, out, err = run("list", "--json", *arguments)
    assert (code, err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(out)["recordings"]
    return rows


def names(*arguments: str) -> list[str]:
    return [Path(row["path"]).name for row in listed(*arguments)]


def test_the_list_names_what_a_script_needs(home: Home) -> None:
    video = home.add("a.mp4", "Capture 2026-11-01 09.08.07.mp4")
    broken = home.add("cut.ogg", "it's cut.ogg", 1e4)
    first, second = listed()
    assert first["recorded_at"].startswith("2026-11-01T09:08:07")
    assert first == {
        "number": 1,
        "path": str(video),
        "recorded_at": first["recorded_at"],
        "duration_s": pytest.approx(1.0, abs=0.05),
        "size_bytes": video.stat().st_size,
        "kind": "video",
        "title": "",
        "state": "ok",
        "check": "ok",
        "remedy": "",
        "backup": "",
        "tracks": [
            {"kind": "video", "codec": "h264", "width": 64, "height": 48},
            {"kind": "audio", "codec": "aac", "sample_rate": 48000, "channels": 2},
            {"kind": "audio", "codec": "aac", "sample_rate": 48000, "channels": 2},
        ],
    }
    assert (second["number"], second["state"], second["check"]) == (2, "unfinished", "its end is missing")
    assert second["remedy"] == f"capture repair '{broken.parent}/it'\"'\"'s cut.ogg'"


def test_filters_keep_the_numbers_of_the_whole_list(home: Home) -> None:
    for days, name in enumerate(["new.ogg", "Talk.ogg", "old.ogg"]):
        home.add("b.ogg", name, days + 0.001)
    home.add("a.mp4", "talk with a picture.mp4", 40)
    assert names() == ["new.ogg", "Talk.ogg", "old.ogg", "talk with a picture.mp4"]
    assert [row["number"] for row in listed("--text", "TALK")] == [2, 4]
    assert names("--text", "TALK", "--kind", "sound") == ["Talk.ogg"]
    assert names("--kind", "video", "--kind", "voice") == ["talk with a picture.mp4"]
    assert names("--since", "36h") == ["new.ogg", "Talk.ogg"]
    assert names("--until", "30d") == ["talk with a picture.mp4"]
    assert names("--since", "3d", "--until", "36h") == ["old.ogg"]
    assert names("-n", "1") == ["new.ogg"]
    assert names("-n", "1", "--text", "talk") == ["Talk.ogg"]
    code, out, _ = run("list", "--text", "nothing like it")
    assert (code, out) == (0, f"None of the 4 recordings in {home.videos} or {home.sounds} matches.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "soon"), "'soon' is not a date: write it like today, 7d, 2h, 2026-11-01 or 2026-11-01 14:30"),
        (
            ("--since", "2026-11-02", "--until", "2026-11-01"),
            "--since 2026-11-02 is not before --until 2026-11-01: swap",
        ),
        (("-n", "0"), "--newest 0 shows nothing"),
        (("--kind", "picture"), "--kind 'picture' is unknown: use "),
    ],
)
def test_a_wrong_filter_is_refused(arguments: tuple[str, ...], message: str, home: Home) -> None:
    code, out, err = run("list", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"capture: {message}")


def test_without_recordings_the_list_says_where_it_looked(home: Home) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert out.startswith(f"There are no recordings in {home.videos} or {home.sounds} yet.")
    assert listed() == []


def test_a_folder_that_cannot_be_listed_is_said(home: Home) -> None:
    home.add("b.ogg", "b.ogg")
    home.videos.parent.mkdir()
    home.videos.write_text("not a folder")
    code, out, err = run("list")
    assert code == 0
    assert "b.ogg" in out
    assert err == f"capture: the folder {home.videos} cannot be read: see its permissions\n"


def test_the_table_fits_a_terminal_and_lines_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.cli.table.columns", lambda: 80)
    for days, name in enumerate(
        [
            "会议记录 二〇二六年十一月 项目讨论 第三次.ogg",
            "\N{HEAVY BLACK HEART}\ufe0f a letter \N{GRINNING FACE} to somebody far away.ogg",
            "red\x1b[31m\r\n\x9b.ogg",
            "Capture 2026-11-01 09.08.07 (2).ogg",
            "e\u0301te\u0301 \u202e.ogg",
        ]
    ):
        home.add("b.ogg", name, 30 * (days + 1))
    home.add("cut.ogg", "cut.ogg", 500)
    code, out, err = run("list")
    assert (code, err) == (0, "")
    head, *rows, remark = out.splitlines()
    assert all(cells(line) <= 80 for line in out.splitlines())
    assert all(char.isprintable() or char == "\n" for char in out)
    start = cells(head[: head.index("title")])
    titles = []
    for row in rows:
        place = next(at for at in range(len(row)) if cells(row[:at]) == start)
        titles.append(row[place:])
    [chinese] = [title for title in titles if title.startswith("会议记录 二〇二六年")]
    assert chinese.endswith("…")
    assert "Capture … (2).ogg" in titles
    assert "red?[31m???.ogg" in titles
    assert "été ?.ogg" in titles
    assert remark == "6: its end is missing. To fix it: capture repair 6"


def test_cells_are_counted_as_terminals_draw_them() -> None:
    assert [cells(text) for text in ("abc", "会议", "é", "e\u0301", "\N{GRINNING FACE}")] == [3, 4, 1, 1, 2]
    assert cut("会议记录", 5) == "会议…"
    assert cut("会议记录", 4) == "会…"
    # A letter of three characters stays whole.
    assert cut("\U0001f469\u200d\U0001f680" * 2, 6) == "\U0001f469\u200d\U0001f680…"
    assert plain("a\x00\ufe0fb") == "a?b"
    assert laid_out([("1", "x", "long title"), ("10", "会", "t")], (True, False), 12) == [" 1  x   lon…", "10  会  t"]


def test_titles_in_files_come_before_names(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    path = home.add("b.ogg", "named.m4a")
    with av.open(str(home.sounds / "named.m4a"), "w") as container:
        container.metadata["title"] = "Grüße\nvon 你"
        stream: Any = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 48_000
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert run("list")[1].splitlines()[1].endswith("✓  Grüße?von 你")
    assert [row["title"] for row in listed("--text", "grüße")] == ["Grüße\nvon 你"]
    assert path.exists()


def test_many_broken_recordings_share_a_remark(home: Home) -> None:
    for number in range(6):
        home.add("cut.ogg", f"{number}.ogg")
    _, out, _ = run("list")
    assert out.splitlines()[-2:] == ["6 recordings were cut off.", f"  To fix them: capture repair {home.sounds}"]


# Names


def test_last_and_numbers_name_recordings(home: Home) -> None:
    old, new = home.add("a.mp4", "old.mp4", 2), home.add("b.ogg", "new.ogg", 1)
    assert run("check", "last")[:2] == (0, f"{new}\naudio  opus  0.000 s to 1.000 s\nok\n")
    assert run("check", "1", "2")[1].splitlines() == [f"{new}: ok", f"{old}: ok"]
    assert json.loads(run("check", "2", "--json")[1])["path"] == str(old)
    assert run("repair", "1")[1] == f"{new}: already complete\n"
    code, out, _ = run("convert", "2", "--constant-fps", "25")
    assert (code, out) == (0, f"{old} has a constant rate already; nothing was done\n")
    assert run("trim", "1", "--from", "500ms")[1] == f"saved {home.sounds / 'new-trimmed.ogg'}, 0:00.5\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
def test_last_is_finished_while_number_1_is_being_recorded(home: Home) -> None:
    finished = home.add("b.ogg", "finished.ogg", 1)
    descriptor = create_locked(home.sounds / "now.ogg")
    assert [row["state"] for row in listed()] == ["recording", "ok"]
    assert run("list")[1].splitlines()[-1] == "1: it is being recorded"
    assert run("check", "last")[1].startswith(f"{finished}\n")
    os.close(descriptor)


def test_a_file_of_that_name_comes_first(home: Home) -> None:
    home.add("b.ogg", "new.ogg")
    for name in ("last", "1"):
        home.add("a.mp4", name, folder=Path.cwd())
        code, out, _ = run("check", name)
        assert code == 0
        assert out.startswith("video  h264")


@pytest.mark.parametrize("name", ["0", "2", "99999999999999999999", "last"])
def test_a_name_without_a_recording_is_refused(name: str, home: Home) -> None:
    if name != "last":
        home.add("b.ogg", "new.ogg")
    code, out, err = run("check", name)
    assert (code, out) == (2, "")
    if name == "last":
        assert err == f"capture: there is no finished recording in {home.videos} or {home.sounds}: name a file\n"
    else:
        assert err.startswith(f"capture: there is no recording {name} in ")
        assert err.endswith(": capture list has 1 to 1\n")


def test_other_words_are_paths(home: Home) -> None:
    home.add("b.ogg", "new.ogg")
    for name in ("./1", "Last", "-1x", "²", "1.0"):
        assert "does not exist" in run("check", "--", name)[2] or run("check", name)[0] == 2
