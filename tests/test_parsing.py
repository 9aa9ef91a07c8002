"""Text from users: every input becomes a valid value or one clear error line, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from refusals import refusal

from capture.errors import UsageError
from capture.formats import CONTAINERS, container_of
from capture.media import Rectangle
from capture.parsing import (
    parse_audio,
    parse_fps,
    parse_geometry,
    parse_level,
    parse_moment,
    parse_region,
    parse_size,
    parse_time,
)
from capture.settings.bounds import MAX_FPS, MAX_PICTURE_SIDE, MAX_TIME_S

Value = TypeVar("Value")


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1m30s", 90),
        ("1:30", 90),
        ("1:02:03", 3723),
        ("01:02:03", 3723),
        ("90:00", 5400),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h1s", 3601),
        ("500ms", 0.5),
        ("5ms", 0.005),
        ("1s500ms", 1.5),
        ("0.25", 0.25),
        (".5", 0.5),
        ("1.5m", 90),
        ("1:30.5", 90.5),
        (" 90s ", 90),
        ("1000h", MAX_TIME_S),
    ],
)
def test_times_are_parsed(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5 s",
        "1\n2",
        "9" * 400,
        "s",
        "m",
        ":",
        "1:",
        ":30",
        "1:60",
        "1:2:60",
        "1:2:3:4",
        "-5",
        "+5",
        "1e3",
        "nan",
        "inf",
        "1s1m",
        "5x",
        "1m30",
        "٣",
        "५s",
        "1,5",
        "0x10",
        "1_000",
    ],
)
def test_invalid_times_are_refused(text: str) -> None:
    assert f"{text!r} is not a time" in refusal(lambda: parse_time(text))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2026-03-01 00:00", "2026-03-02 00:00"),
        ("Yesterday", "2026-02-28 00:00", "2026-03-01 00:00"),
        (" 2026-02-03 ", "2026-02-03 00:00", "2026-02-04 00:00"),
        ("2026-02-03 14:30", "2026-02-03 14:30", "2026-02-03 14:31"),
        ("2026-02-03T14:30", "2026-02-03 14:30", "2026-02-03 14:31"),
        ("9:05", "2026-03-01 09:05", "2026-03-01 09:06"),
        ("30min", "2026-03-01 11:30", "2026-03-01 11:30"),
        ("2h", "2026-03-01 10:00", "2026-03-01 10:00"),
        ("7d", "2026-02-22 12:00", "2026-02-22 12:00"),
        ("1w", "2026-02-22 12:00", "2026-02-22 12:00"),
    ],
)
def test_moments_are_parsed(text: str, start: str, end: str) -> None:
    found = parse_moment(text, datetime(2026, 3, 1, 12).astimezone())
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in found] == [start, end]
    assert all(moment.tzinfo is not None for moment in found)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-02-30", "24:00", "7", "d", "-7d", "999999w", "0001-01-01", "٣d", "2026-11-01 1"],
)
def test_other_moments_are_refused(text: str) -> None:
    assert f"{text!r} is not a date" in refusal(lambda: parse_moment(text, datetime(2026, 3, 1, 12).astimezone()))


@pytest.mark.parametrize("text", ["0", "0s", "0:00", "0h0m0s", "0.000"])
def test_a_time_of_zero_is_refused_unless_allowed(text: str) -> None:
    assert "is zero" in refusal(lambda: parse_time(text))
    assert parse_time(text, zero_allowed=True) == 0.0


@pytest.mark.parametrize("text", ["1000h1s", "3600001", "999999:59:59", "999999999999h"])
def test_an_absurdly_long_time_is_refused(text: str) -> None:
    assert "longer than a thousand hours" in refusal(lambda: parse_time(text))


@given(st.integers(0, 999), st.integers(0, 59), st.integers(0, 59))
def test_all_notations_of_a_time_give_the_same_value(hours: int, minutes: int, seconds: int) -> None:
    total_s = hours * 3600 + minutes * 60 + seconds
    for text in (f"{hours}:{minutes:02d}:{seconds:02d}", f"{hours}h{minutes}m{seconds}s", f"{total_s}", f"{total_s}s"):
        assert parse_time(text, zero_allowed=True) == total_s


# Sizes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("500KB", 500_000),
        ("16MB", 16_000_000),
        ("2GB", 2_000_000_000),
        ("1TB", 10**12),
        ("16MiB", 16 * 1024**2),
        ("1kib", 1024),
        ("16M", 16_000_000),
        ("16 mb", 16_000_000),
        ("1.5GB", 1_500_000_000),
        (".5k", 500),
        ("1234", 1234),
        ("1234B", 1234),
        (" 1KB ", 1000),
    ],
)
def test_sizes_are_parsed(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "B", "MB", "5iB", "5XB", "-5MB", "5MBB", "5 M B", "1e6", "inf", "٣MB", "5\u212ab", "5MB\0"]
)
def test_invalid_sizes_are_refused(text: str) -> None:
    assert f"{text!r} is not a size" in refusal(lambda: parse_size(text))


@pytest.mark.parametrize("text", ["0", "0MB", "0.1", "0.0001KB"])
def test_sizes_below_one_byte_are_refused(text: str) -> None:
    assert "less than one byte" in refusal(lambda: parse_size(text))


@given(st.integers(1, 999_999), st.sampled_from(["", "k", "M", "g", "T"]), st.sampled_from(["", "b", "B", "iB", "ib"]))
def test_all_size_units_are_parsed(number: int, prefix: str, unit: str) -> None:
    if unit.lower() == "ib" and not prefix:
        return
    base = 1024 if unit.lower() == "ib" else 1000
    assert parse_size(f"{number}{prefix}{unit}") == number * base ** " kmgt".index(prefix.lower() or " ")


# Regions and picture sizes


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("1280x720+100+50", Rectangle(100, 50, 1280, 720)),
        ("640x480-1280+0", Rectangle(-1280, 0, 640, 480)),
        ("640x480+-1280+-7", Rectangle(-1280, -7, 640, 480)),
        ("2x2+0+0", Rectangle(0, 0, 2, 2)),
        (" 641x481+0+0 ", Rectangle(0, 0, 641, 481)),
    ],
)
def test_regions_are_parsed(text: str, region: Rectangle) -> None:
    assert parse_region(text) == region


@pytest.mark.parametrize(
    "text",
    [
        "",
        "640x480",
        "640x480+1",
        "640+480+1+1",
        "-640x480+0+0",
        "640x480+1.5+0",
        "640X480+0+0",
        "640x480+0+0+0",
        "640x480++0+0",
        "640x480--1+0",
        "٦x٦+0+0",
        "640x480+1234567+0",
        "1234567x480+0+0",
    ],
)
def test_invalid_regions_are_refused(text: str) -> None:
    assert f"{text!r} is not a region" in refusal(lambda: parse_region(text))


@pytest.mark.parametrize("text", ["0x0+0+0", "1x100+0+0", "100x1+0+0"])
def test_a_region_without_area_is_refused(text: str) -> None:
    assert "no area" in refusal(lambda: parse_region(text))


@given(
    st.builds(
        Rectangle,
        st.integers(-999_999, 999_999),
        st.integers(-999_999, 999_999),
        st.integers(2, 999_999),
        st.integers(2, 999_999),
    )
)
def test_a_printed_region_parses_to_the_same_region(region: Rectangle) -> None:
    assert parse_region(str(region)) == region
    plus = f"{region.width}x{region.height}+{region.left}+{region.top}"
    assert parse_region(plus) == region


@pytest.mark.parametrize("text", ["1280x720", "16x16", f"{MAX_PICTURE_SIDE}x{MAX_PICTURE_SIDE}", " 320x240 "])
def test_picture_sizes_are_parsed(text: str) -> None:
    assert "x".join(map(str, parse_geometry(text))) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "1280", "1280x", "x720", "1280x720x3", "-2x2", "1280*720", "1280x720+0+0", "1e3x1e3"]
)
def test_invalid_picture_sizes_are_refused(text: str) -> None:
    assert f"{text!r} is not a picture size" in refusal(lambda: parse_geometry(text))


@pytest.mark.parametrize("text", ["1281x720", "1280x721", "14x720", "1280x14", "16386x720", "1280x16386", "0x0"])
def test_picture_sizes_that_no_encoder_accepts_are_refused(text: str) -> None:
    assert f"{text!r} is not a size that can be encoded" in refusal(lambda: parse_geometry(text))


# Frames per second


@pytest.mark.parametrize(
    ("text", "fps"), [("30", 30), ("29.97", 29.97), ("0.1", 0.1), ("240", 240), (" 24 ", 24), (".5", 0.5)]
)
def test_frame_rates_are_parsed(text: str, fps: float) -> None:
    assert parse_fps(text) == fps


@pytest.mark.parametrize("text", ["", "0", "0.09", "240.1", "1000", "-30", "30fps", "nan", "inf", "1e2", "30/1", "٣٠"])
def test_invalid_frame_rates_are_refused(text: str) -> None:
    assert f"{text!r} is not a valid frame rate" in refusal(lambda: parse_fps(text))


# Levels


@pytest.mark.parametrize(
    ("text", "dbfs"), [("-50dB", -50), ("-50 dBFS", -50), ("-50", -50), (" -42.5db ", -42.5), ("0", 0), ("7", 7)]
)
def test_levels_are_parsed(text: str, dbfs: float) -> None:
    assert parse_level(text) == dbfs


@pytest.mark.parametrize("text", ["", "dB", "loud", "--50", "-50%", "-5e1", "-1234", "nan", "-inf", "-٣dB", "-50LUFS"])
def test_invalid_levels_are_refused(text: str) -> None:
    assert f"{text!r} is not a level" in refusal(lambda: parse_level(text))


# Audio


@pytest.mark.parametrize(
    ("values", "tracks"),
    [
        ([], []),
        (["none"], []),
        (["internal"], [["internal"]]),
        (["internal+mic"], [["internal", "mic"]]),
        (["internal", "mic"], [["internal"], ["mic"]]),
        (["mic+internal", "app:Some Player"], [["mic", "internal"], ["app:Some Player"]]),
        (
            ["alsa_output.pci-0000_00_1f.3.analog-stereo.monitor"],
            [["alsa_output.pci-0000_00_1f.3.analog-stereo.monitor"]],
        ),
    ],
)
def test_audio_sources_are_parsed(values: list[str], tracks: list[list[str]]) -> None:
    parsed = parse_audio(values)
    assert [list(track.sources) for track in parsed] == tracks
    assert [track.name for track in parsed] == [value for value in values if value != "none"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["none", "mic"], "together with others"),
        (["none", "none"], "together with others"),
        (["internal+none"], "mixes none with a source"),
        (["mic", "mic"], "given twice"),
        (["internal+mic", "mic", "internal+mic"], "given twice"),
        (["mic+mic"], "with itself"),
        ([""], "an empty source"),
        (["+"], "an empty source"),
        (["mic+"], "an empty source"),
        (["mic++internal"], "an empty source"),
        ([" "], "an empty source"),
        (["mic+ "], "an empty source"),
        (["internal,mic"], "give each track by itself"),
        (["mi\0c"], "an empty source"),
    ],
)
def test_contradictory_audio_sources_are_refused(values: list[str], said: str) -> None:
    assert said in refusal(lambda: parse_audio(values))


# Arbitrary text

numerals = st.text(alphabet="0123456789.:+-xXhmsKMGTibBe \t\u00a0\u0663\u212a\0\n_%", max_size=20)
anything = st.one_of(st.text(max_size=30), numerals)


def value_of(parse: Callable[[str], Value], text: str) -> Value | None:
    """Return `parse(text)`, or None if it is refused with a message that quotes `text`."""
    try:
        return parse(text)
    except UsageError as error:
        said = str(error)
    assert repr(text) in said
    return None


@given(anything, st.booleans())
@example("9" * 12 + "." + "9" * 9 + "h", False)
def test_any_text_is_a_time_or_refused(text: str, zero_allowed: bool) -> None:
    seconds = value_of(lambda text: parse_time(text, zero_allowed=zero_allowed), text)
    assert seconds is None or 0 < seconds <= MAX_TIME_S or (zero_allowed and seconds == 0)


@given(anything)
def test_any_text_is_a_size_or_refused(text: str) -> None:
    size_bytes = value_of(parse_size, text)
    assert size_bytes is None or (type(size_bytes) is int and size_bytes > 0)


@given(anything)
def test_any_text_is_a_region_or_refused(text: str) -> None:
    region = value_of(parse_region, text)
    assert region is None or min(region.width, region.height) >= 2


@given(anything)
def test_any_text_is_a_picture_size_or_refused(text: str) -> None:
    size = value_of(parse_geometry, text)
    assert size is None or all(16 <= side <= MAX_PICTURE_SIDE and side % 2 == 0 for side in size)


@given(anything)
def test_any_text_is_a_level_or_refused(text: str) -> None:
    level = value_of(parse_level, text)
    assert level is None or -1000 < level < 1000


@given(anything)
def test_any_text_is_a_frame_rate_or_refused(text: str) -> None:
    fps = value_of(parse_fps, text)
    assert fps is None or 0 < fps <= MAX_FPS


@given(
    st.lists(st.one_of(st.sampled_from(["mic", "internal", "none", "mic+internal"]), st.text(max_size=10)), max_size=4)
)
def test_any_list_of_texts_is_tracks_or_refused(values: list[str]) -> None:
    try:
        tracks = parse_audio(values)
    except UsageError:
        return
    assert all(source and source.isprintable() for track in tracks for source in track.sources)
    assert len({track.name for track in tracks}) == len(tracks)


@given(st.text(max_size=30), st.sampled_from([*CONTAINERS, "MP4", "avi", ""]))
def test_any_extension_has_a_container_or_is_refused(name: str, extension: str) -> None:
    path = Path(f"{name}.{extension}")
    known = CONTAINERS.get(path.suffix[1:].lower())
    if known is None:
        assert ".mp4" in refusal(lambda: container_of(path))
    else:
        assert container_of(path) is known
