"""A WAV or FLAC that grows has a header that is right for what is in it, whenever its recorder is killed."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from reopened import sound

from capture.codecs.audio_encoder import AudioEncoder
from capture.errors import OutputError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE
from capture.output.length_field import LengthField
from capture.output.muxer import Muxer
from capture.output.output_file import OutputFile
from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check
from capture.recordings.structure import Ending, read_structure

#: The samples of a FLAC packet.
FLAC_PACKET = 4608


def recorded(path: Path) -> tuple[Muxer, AudioEncoder]:
    kind = CONTAINERS[path.suffix[1:]]
    encoder = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([encoder.template])
    return muxer, encoder


def write_second(muxer: Muxer, encoder: AudioEncoder) -> None:
    wave_form = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    for packet in encoder.encode(np.stack([wave_form, wave_form], axis=1).astype(np.float32)):
        muxer.write(0, packet)


def stated_samples(path: Path) -> int:
    """Return the number of samples that the header states."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as file:
            return int(file.getnframes())
    return int.from_bytes(path.read_bytes()[18:26], "big") & (1 << 36) - 1


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_the_header_grows_with_the_file(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    muxer, encoder = recorded(path)
    for second in (1, 2, 3):
        write_second(muxer, encoder)
        muxer.update_header()
        expected = second * SAMPLE_RATE if extension == "wav" else second * SAMPLE_RATE // FLAC_PACKET * FLAC_PACKET
        assert stated_samples(path) == expected == len(sound(path).samples)
        with av.open(str(path)) as container:
            assert (container.duration or 0) / av.time_base == pytest.approx(expected / SAMPLE_RATE, abs=0.001)
        assert read_structure(path).ending is Ending.WHOLE
        assert check(path).ok
    for packet in encoder.finish():
        muxer.write(0, packet)
    muxer.close()
    assert stated_samples(path) == 3 * SAMPLE_RATE == len(sound(path).samples)


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_a_header_that_promises_more_than_reached_the_disk_does_no_harm(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    muxer, encoder = recorded(path)
    for _ in range(3):
        write_second(muxer, encoder)
    muxer.update_header()
    cut = path.stat().st_size // 2
    (tmp_path / f"cut.{extension}").write_bytes(path.read_bytes()[:cut])
    assert sound(tmp_path / f"cut.{extension}").end_s > 1.1


@pytest.mark.parametrize("extension", [name for name in CONTAINERS if name not in ("wav", "flac")])
def test_other_headers_are_left_alone(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    file = OutputFile(ReservedFile(path))
    file.write(b"RIFF....WAVEdata....fLaC")
    LengthField(file, CONTAINERS[extension].format).update()
    assert path.read_bytes() == b"RIFF....WAVEdata....fLaC"
    file.close()


def test_more_than_4_gb_become_an_rf64(tmp_path: Path) -> None:
    path = tmp_path / "made.wav"
    muxer, encoder = recorded(path)
    write_second(muxer, encoder)
    content = path.read_bytes()
    muxer.close()
    path.unlink()
    reserved = ReservedFile(path)
    file = OutputFile(reserved)
    file.write(content)
    # A hole, which takes no room on the disk.
    file.seek(5_000_000_000)
    file.write(bytes(8))
    LengthField(file, "wav").update()
    assert file.tell() == 5_000_000_008
    file.close()
    with av.open(str(path)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(5_000_000_000 / 4 / SAMPLE_RATE, abs=0.01)
    assert read_structure(path).ending is Ending.WHOLE
    reserved.discard()


def test_a_disk_that_refuses_the_length_does_not_end_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    muxer, encoder = recorded(tmp_path / "made.wav")
    write_second(muxer, encoder)

    def refuse(file: OutputFile, data: bytes) -> None:
        raise OSError("full")

    monkeypatch.setattr(OutputFile, "overwrite_start", refuse)
    muxer.update_header()
    try:
        muxer.close()
    except OutputError as error:
        pytest.fail(str(error))
    assert check(tmp_path / "made.wav").ok
