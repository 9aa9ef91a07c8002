"""Joined recordings, compared with their sources sample by sample and picture by picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from reopened import chapters, sound
from test_trim import compare_parts, compare_samples, packets, record, shown, wave
from written import Picture, Sound, write

from capture.cli.main import main
from capture.codecs.audio_encoder import AudioEncoder
from capture.errors import UsageError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, SampleArray
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.join import join
from capture.recordings.trim import trim

#: Whole pictures, but no whole packets.
ONE_S, OTHER_S = 4.0, 10.0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def both(folder: Path, extension: str, quality: str = "medium") -> list[Path]:
    """Write two recordings with different pictures and sounds."""
    heard = wave()
    one = record(folder / f"one.{extension}", heard[: round(ONE_S * SAMPLE_RATE)])
    other = record(folder / f"other.{extension}", heard[: -round(OTHER_S * SAMPLE_RATE) - 1 : -1].copy(), quality, 300)
    return [one, other]


def samples_of(path: Path, length_s: float) -> SampleArray:
    return sound(path).samples[: round(length_s * SAMPLE_RATE)]


@pytest.mark.parametrize("extension", CONTAINERS)
def test_the_seam_is_exact(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    one, other = both(tmp_path, extension)
    before = [path.read_bytes() for path in (one, other)]
    made = join([one, other], tmp_path / f"all.{extension}").path
    assert [path.read_bytes() for path in (one, other)] == before
    report = check(made)
    assert report.ok, report.problems
    assert [each.duration_s for each in report.streams] == pytest.approx(
        [ONE_S + OTHER_S] * len(report.streams), abs=0.022
    )
    off = compare_samples(np.concatenate((samples_of(one, ONE_S), samples_of(other, OTHER_S))), sound(made).samples)
    assert off.max() < 0.03
    if kind.audio_codec in ("flac", "pcm_s16le"):
        assert not off.any()
    if kind.audio_codec == "aac" or kind.format == "ogg":
        # The longer one is copied.
        copied = {data for at_s, data in packets(other, "audio") if at_s > 0.5}
        assert copied <= {data for _, data in packets(made, "audio")}
    if kind.holds_video:
        new = [data for _, data in packets(made, "video")]
        old = [data for path in (one, other) for _, data in packets(path, "video")]
        # Between two key frames comes a repeat.
        assert [data for data in new if data in old] == old
        assert len(new) - len(old) <= 1
        compare_parts(made, [(one, 0, ONE_S), (other, 0, OTHER_S)])
        begins_s = [(name, begin_s) for name, begin_s, _ in chapters(made)]
        assert begins_s == [("one", 0.0), ("one", 4.0), ("two", 5.0)]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text")
@pytest.mark.parametrize("kind", ["mp4", "mkv", "m4a", "ogg", "mp3", "flac", "wav"])
def test_a_name_that_is_no_text_names_a_chapter_too(kind: str, tmp_path: Path) -> None:
    names = [f"\udcff.{kind}", f"two\nlines.{kind}"]
    made = join([write(tmp_path / name, picture=None) for name in names], tmp_path / f"all.{kind}").path
    assert check(made).ok
    if kind != "wav":
        assert [name for name, _, _ in chapters(made)] == ["\ufffd", "two_lines"]


def test_pictures_of_other_settings_are_encoded_again(tmp_path: Path) -> None:
    one, other = both(tmp_path, "mp4", quality="low")
    made = join([one, other], tmp_path / "all.mp4").path
    assert check(made).ok
    compare_parts(made, [(one, 0, ONE_S), (other, 0, OTHER_S)])
    old = [data for _, data in packets(one, "video")]
    assert [data for _, data in packets(made, "video")][: len(old)] == old


def test_formats_may_differ(tmp_path: Path) -> None:
    heard = wave()
    one = record(tmp_path / "one.mkv", heard[: round(ONE_S * SAMPLE_RATE)])
    other = record(tmp_path / "other.webm", heard[: round(OTHER_S * SAMPLE_RATE)], first=300)
    made = join([one, other], tmp_path / "all.mkv").path
    assert check(made).ok
    compare_parts(made, [(one, 0, ONE_S), (other, 0, OTHER_S)])
    assert {each.codec for each in check(made).streams} == {"h264", "opus"}


def test_tracks_that_end_early_are_continued(tmp_path: Path) -> None:
    one = write(tmp_path / "one.mp4", (Sound(end_s=3), Sound(end_s=2)), Picture(end_s=2.5))
    other = write(tmp_path / "other.mp4", (Sound(end_s=2), Sound(end_s=2)), Picture(end_s=2))
    made = join([one, other], tmp_path / "all.mp4").path
    assert [each.duration_s for each in check(made).streams] == pytest.approx([5.0] * 3, abs=0.03)
    second = sound(made, 1)
    assert np.abs(second.between(2.05, 2.95)).max() < 1e-3
    assert np.abs(second.between(3.01, 3.5)).max() > 0.2
    # The last picture stays until the next recording begins.
    assert any(at_s == pytest.approx(3.0, abs=0.02) for at_s, _ in shown(made))


def test_voice_notes_stay_voice_notes(tmp_path: Path) -> None:
    paths = []
    for number, length in enumerate((60_000, 200_000)):
        audio = AudioEncoder("opus", 1, voice=True)
        muxer = Muxer(tmp_path / f"{number}.ogg", CONTAINERS["ogg"])
        muxer.start([audio.template])
        for packet in [*audio.encode(wave(1)[:length]), *audio.finish()]:
            muxer.write(0, packet)
        muxer.close()
        muxer.keep()
        paths.append(muxer.path)
    made = join([*paths, paths[0]], tmp_path / "all.ogg").path
    assert check(made).ok
    truth = np.concatenate([sound(path).samples for path in (*paths, paths[0])])
    off = compare_samples(truth, sound(made).samples)
    assert off.max() < 0.2
    # The longest one is copied.
    assert off[2 * SAMPLE_RATE : 5 * SAMPLE_RATE].max() < 1e-3
    assert len(packets(made, "audio")) == pytest.approx(320_000 / 2880, abs=6)


@pytest.mark.parametrize("extension", ["ogg", "flac"])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_one_channel_and_two_are_joined_at_their_level(order: tuple[int, int], extension: str, tmp_path: Path) -> None:
    tone = 0.8 * np.sin(np.arange(2 * SAMPLE_RATE, dtype=np.float32)[:, None] * np.float32(0.06))
    paths = []
    for channels in order:
        audio = AudioEncoder(CONTAINERS[extension].audio_codec, channels)
        muxer = Muxer(tmp_path / f"{channels}.{extension}", CONTAINERS[extension])
        muxer.start([audio.template])
        for packet in [*audio.encode(np.repeat(tone, channels, axis=1)), *audio.finish()]:
            muxer.write(0, packet)
        muxer.close()
        muxer.keep()
        paths.append(muxer.path)
    made = join(paths, tmp_path / f"all.{extension}").path
    heard = sound(made)
    for begin_s in (0.5, 2.5):
        assert np.abs(heard.between(begin_s, begin_s + 1)).max() == pytest.approx(0.8, abs=0.02)


def test_the_verb_names_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    both(tmp_path, "wav")
    assert main(["join", "one.wav", "other.wav"]) == 0
    assert capsys.readouterr().out == "saved one-joined.wav, 0:14.0\n"
    assert main(["join", "one.wav", "other.wav", "one.wav", "-o", "three.wav", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "three.wav", "duration_s": 18.0}


def test_what_cannot_be_joined_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("one.mp4"))
    record(Path("large.mp4"), wave()[:SAMPLE_RATE])
    write(Path("two.mp4"), (Sound(), Sound()))
    write(Path("sound.ogg"))
    Path("text.mp4").write_text("Not a recording.\n" * 100)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for files, words, code in (
        (["one.mp4"], "two or more", 2),
        (["one.mp4", "large.mp4"], "256x64, that of one.mp4 64x48", 2),
        (["one.mp4", "two.mp4"], "1 picture and 2 audio tracks, but one.mp4 has 1 picture and 1 audio track", 2),
        (["one.mp4", "sound.ogg"], "has 1 audio track, but", 2),
        (["one.mp4", "one.mp4", "-o", "one.mp4"], "exists already", 2),
        (["one.mp4", "one.mp4", "-o", "all.mkv"], ".mp4", 2),
        (["one.mp4", "none.mp4"], "does not exist", 2),
        (["one.mp4", "text.mp4"], "not a recording", 1),
    ):
        assert main(["join", *files]) == code, files
        assert words in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("modes", [(0o644, 0o600), (0o600, 0o644)])
def test_what_is_private_stays_private(modes: tuple[int, int], tmp_path: Path) -> None:
    paths = both(tmp_path, "wav")
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode)
    join(paths, tmp_path / "all.wav")
    assert (tmp_path / "all.wav").stat().st_mode & 0o777 == 0o600


def test_a_file_that_gets_the_name_meanwhile_stays(tmp_path: Path) -> None:
    one, other = both(tmp_path, "mp4")
    output = tmp_path / "mine.mp4"

    def write_mine(share: float) -> None:
        if share > 0.5:
            output.write_bytes(b"mine")

    with pytest.raises(UsageError, match=r"mine\.mp4 exists already"):
        join([one, other], output, write_mine)
    output.unlink()
    with pytest.raises(UsageError, match=r"mine\.mp4 exists already"):
        trim(one, output, 1.0, on_progress=write_mine)
    assert output.read_bytes() == b"mine"
    assert names(tmp_path) == ["mine.mp4", "one.mp4", "other.mp4"]


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_ctrl_c_leaves_nothing(at: float, tmp_path: Path) -> None:
    one, other = both(tmp_path, "mp4")

    def interrupt(share: float) -> None:
        if share > at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join([one, other], tmp_path / "all.mp4", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trim(one, one, on_progress=interrupt, cuts=[(1.0, 2.0)])
    assert names(tmp_path) == ["one.mp4", "other.mp4"]
