"""GIFs and WebPs that capture saves are listed and checked like recordings; verbs that need tracks refuse them."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import av
import numpy as np
import pytest

from capture.cli.main import main
from capture.recordings.glance import glance
from capture.recordings.overview import State

WIDTH, HEIGHT = 320, 200


def animation(path: Path, pictures: int = 3, *, lossless: bool = False) -> Path:
    """Write an animation with FFmpeg. A WebP of one picture is no animation for its container."""
    with av.open(str(path), "w") as container:
        options = {"lossless": str(int(lossless))} if path.suffix == ".webp" else {}
        stream = container.add_stream("gif" if path.suffix == ".gif" else "libwebp", rate=5, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "bgr8" if path.suffix == ".gif" else "bgra" if lossless else "yuv420p"
        for number in range(pictures):
            image = np.full((HEIGHT, WIDTH, 3), 60 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("name", "pictures", "lossless"),
    [("a.gif", 3, False), ("a.webp", 3, False), ("still.webp", 1, False), ("still.webp", 1, True)],
)
def test_an_animation_is_complete(name: str, pictures: int, lossless: bool, tmp_path: Path, own_home: Path) -> None:
    path = animation(tmp_path / name, pictures, lossless=lossless)
    seen = glance(path)
    assert (seen.state, seen.problem) == (State.WHOLE, "")
    assert [(track.codec, track.width, track.height) for track in seen.tracks] == [(path.suffix[1:], WIDTH, HEIGHT)]
    code, out, err = run("check", path)
    assert (code, err) == (0, "")
    assert out.startswith(f"video  {path.suffix[1:]}  0.000 s to ")
    assert out.endswith("\nok\n")
    (track,) = json.loads(run("check", path, "--json")[1])["streams"]
    assert (track["codec"], track["width"], track["height"]) == (path.suffix[1:], WIDTH, HEIGHT)


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_a_part_of_an_animation_is_damaged(name: str, tmp_path: Path, own_home: Path) -> None:
    path = animation(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-3])
    assert run("check", path) == (1, "problem: the animation is damaged\nnot ok\n", "")


def test_an_enormous_animation_is_not_read(tmp_path: Path, own_home: Path) -> None:
    path = animation(tmp_path / "a.gif")
    with path.open("r+b") as file:
        file.truncate(10**10)
    code, out, _ = run("check", path)
    assert code == 1
    assert "larger than 500 MB: if you trust the file, add --no-limits" in out


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("convert", ["--constant-fps"]),
        ("export", ["--for", "web"]),
        ("repair", []),
        ("trim", ["--from", "0.1"]),
        ("join", ["a.gif"]),
    ],
)
def test_a_verb_that_needs_tracks_says_what_it_is(
    verb: str, more: list[str], tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = animation(tmp_path / "a.gif").read_bytes()
    code, out, err = run(verb, "a.gif", *more)
    assert (code, out) == (1, "")
    assert err.startswith("capture: a.gif cannot be ")
    assert ": this is an animation, not a recording: " in err
    assert [(path.name, path.read_bytes()) for path in tmp_path.glob("a*")] == [("a.gif", before)]
