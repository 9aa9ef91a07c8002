"""Names that are too long, or name no file, are answered in words; names of new files fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from written import Sound, write

from capture.cli.main import main
from capture.cli.recordings import beside
from capture.errors import UsageError
from capture.recordings.repair import recordings_in

#: Longer than any file system takes.
TOO_LONG = "x" * 300 + ".mp4"


@pytest.mark.parametrize(
    "words",
    [
        ("trim", "NAME", "--from", "1s"),
        ("trim", "a.ogg", "--from", "0.1s", "-o", "NAME.ogg"),
        ("join", "NAME", "NAME"),
        ("convert", "NAME", "--constant-fps"),
        ("export", "NAME", "--for", "web"),
        ("share", "NAME", "--to", "folder"),
        ("transcribe", "NAME"),
        ("backup", "NAME"),
        ("check", "NAME"),
        ("repair", "NAME"),
        ("play", "NAME"),
        ("open", "NAME"),
        ("record", "NAME", "--source", "pattern", "--duration", "0.1s"),
    ],
)
@pytest.mark.parametrize("name", [TOO_LONG, ".", "gone.mp4"])
def test_a_name_that_names_no_file_is_a_mistake(
    words: tuple[str, ...],
    name: str,
    own_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.ogg", (Sound(end_s=0.5),))
    if words[0] == "backup":
        assert main(["config", "backup.remote", str(tmp_path)]) == 0
        capsys.readouterr()
    code = main([word.replace("NAME", name) for word in words])
    said = capsys.readouterr().err
    assert "internal error" not in said
    if words[0] in ("open", "repair", "record", "trim") and name != TOO_LONG:
        # A folder can be shown or repaired, and a new name recorded to.
        return
    assert (code, said.count("\n")) in ((1, 1), (2, 1)), said


def test_the_names_of_new_files_are_cut_where_they_would_be_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / ("x" * 251 + ".ogg"), (Sound(end_s=2.0),))
    assert beside(path, "-trimmed").name.endswith("-trimmed.ogg")
    assert beside(tmp_path / path.name, "-30fps") != beside(tmp_path / path.name, "-60fps")
    assert main(["trim", path.name, "--from", "1s"]) == 0
    assert main(["join", path.name, path.name]) == 0
    assert capsys.readouterr().err == ""
    assert {len(each.name.encode()) for each in tmp_path.iterdir()} == {255}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError, match=r"the folder .* cannot be read \(Permission denied\): see its permissions"):
        recordings_in(tmp_path)
