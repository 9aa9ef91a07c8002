"""The verb transcribe: writes what is said in a recording as text and subtitles."""

from __future__ import annotations

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
    from capture.cli.recordings import recording_named
    from capture.cli.working import working
    from capture.config.store import load
    from capture.recordings.progress import part_of
    from capture.speech.subtitles import check_container, with_subtitles
    from capture.speech.whisper import check_model, heard_in, sound_for_speech

    config = load()
    path = recording_named(arguments.file)
    if not path.is_file():
        raise UsageError(f"{path} is not a file", "name a recording")
    if arguments.track is not None and arguments.track < 1:
        raise UsageError(f"--track {arguments.track} is no track", "count them from 1")
    text, subtitles = path.with_suffix(".txt"), path.with_suffix(".srt")
    output = path.with_stem(f"{path.stem}-subtitled") if arguments.embed else None
    if output is not None:
        check_container(path)
    for made in filter(None, (text, subtitles, output)):
        if made.exists() and not arguments.overwrite:
            raise UsageError(f"{made} exists already", "move it away, or give --overwrite")
    named = arguments.model or str(config["speech.model"])
    language = arguments.language or str(config["speech.language"])
    model_path = check_model(Path(named).expanduser() if named else None, language)
    with working(arguments, f"transcribing {path.name}") as on_progress:
        track, limits = None if arguments.track is None else arguments.track - 1, not arguments.no_limits
        samples = sound_for_speech(path, track, limits=limits)
        segments = heard_in(samples, model_path, language, part_of(on_progress, 0.0, 0.95))
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
