"""The verb transcribe: writes what is said in a recording as text and subtitles."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import say, write_json
from capture.errors import CaptureError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capture.speech.transcript import Segment

__all__ = ["VERBS"]


def _transcribe(arguments: Arguments) -> int:
    from capture.cli.recordings import beside, check_track, recording_named
    from capture.cli.working import working
    from capture.config.store import load
    from capture.recordings.check import size_bytes_of
    from capture.recordings.glance import glance
    from capture.recordings.progress import part_of
    from capture.speech.subtitles import check_container, with_subtitles
    from capture.speech.whisper import check_model, heard_in, sound_for_speech

    config = load()
    path = recording_named(arguments.file)
    size_bytes_of(path)
    sounds = [track for track in glance(path).tracks if track.kind == "audio"]
    if sounds:
        check_track(path, sounds, arguments.track)
    text, subtitles = path.with_suffix(".txt"), path.with_suffix(".srt")
    output = beside(path, "-subtitled") if arguments.embed else None
    if output is not None:
        check_container(path)

    def check_names() -> None:
        for made in filter(None, (text, subtitles, output)):
            if os.path.lexists(made) and not arguments.overwrite:
                raise UsageError(f"{made} exists already", "move it away, or give --overwrite")

    check_names()
    named = arguments.model or str(config["speech.model"])
    language = arguments.language or str(config["speech.language"])
    model = Path(named) if named else None
    with suppress(RuntimeError):
        # It raises for the folder of a user who does not exist.
        model = model and model.expanduser()
    model_path = check_model(model, language)
    with working(arguments, f"transcribing {path.name}") as on_progress:
        track, limits = None if arguments.track is None else arguments.track - 1, not arguments.no_limits
        samples = sound_for_speech(path, track, limits=limits)
        segments = heard_in(samples, model_path, language, part_of(on_progress, 0.0, 0.95))
        # That took minutes.
        check_names()
        _write(text, subtitles, segments)
        if output is not None:
            try:
                with_subtitles(path, output, segments, limits=limits)
            except CaptureError as error:
                error.message = f"{text.name} and {subtitles.name} are written, but {error.message}"
                raise
    if not segments:
        say(arguments, f"no words were heard in {path}; {text.name} and {subtitles.name} are empty")
    else:
        say(arguments, f"saved {text} and {subtitles.name}" + (f", and {output.name}" if output else ""))
    if arguments.json:
        write_json(
            {
                "path": str(path),
                "text": str(text),
                "subtitles": str(subtitles),
                "embedded": None if output is None else str(output),
                "segments": [{"start_s": each.start_s, "end_s": each.end_s, "text": each.text} for each in segments],
            }
        )
    return 0


def _write(text: Path, subtitles: Path, segments: Sequence[Segment]) -> None:
    from capture.speech.transcript import as_srt, as_text
    from capture.system.private_files import replace

    for path, content in ((text, as_text(segments)), (subtitles, as_srt(segments))):
        try:
            replace(path.absolute(), content.encode(errors="replace"))
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror or error})", "see its folder") from error


VERBS: Final[dict[str, Verb]] = {
    "transcribe": _transcribe,
}
