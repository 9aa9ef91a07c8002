"""Turns parsed arguments and the user's settings into `RecordSettings`."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import SELECT, Arguments
from capture.config.schema import plain_number
from capture.config.store import Config
from capture.errors import UsageError
from capture.formats import ENCODERS, Container, container_of

if TYPE_CHECKING:
    from capture.settings.record_settings import RecordSettings

__all__ = ["as_option", "fill", "settings_of"]

#: Verbs that ignore the setting `record.audio`: a private desktop has no microphone, and a voice note is what the
#: computer plays.
_INTERNAL_AUDIO_VERBS: Final = ("headless", "note")


def fill(config: Config, options: MutableMapping[str, Any]) -> None:
    """Set the `options` that were not given, and so are None, from the settings in `config`.

    `options` are those of the command line, as `vars(arguments)`; none is added. If the file can hold fewer tracks than
    the settings name, they are mixed; if the encoder in the settings cannot write the file, `auto` is used. Raises
    `UsageError` for an output with an unknown extension.
    """
    container = _container(options)
    # Without a screen to record, overlays from the settings would be an error that the user did not cause.
    pictured = container.holds_video and options.get("screen") != "none" and options.get("source") != "pattern"
    given = {
        "audio": _audio(config, options, container),
        "fps": plain_number(config["record.fps"]),
        "quality": config["record.quality"],
        "encoder": config["record.encoder"],
        "cursor": config["record.cursor"],
        **{name: pictured and config[f"record.{name}"] for name in ("show_clicks", "show_keys")},
    }
    if given["encoder"] not in ENCODERS.get(container.video_codec or "", ()):
        given["encoder"] = "auto"
    for name, value in given.items():
        if name in options and options[name] is None:
            options[name] = value


def _container(options: Mapping[str, Any]) -> Container:
    output = options.get("output")
    return container_of(Path(output or ("out.ogg" if options.get("screen") == "none" else "out.mp4")))


def _audio(config: Config, options: Mapping[str, Any], container: Container) -> list[str]:
    chosen = config["record.audio"]
    tracks = list(chosen) if isinstance(chosen, tuple) else []
    pictured = container.holds_video and options.get("screen") != "none"
    if options.get("source") == "pattern" or options.get("verb") in _INTERNAL_AUDIO_VERBS:
        return ["internal"]
    if tracks == ["none"]:
        # A recording without a picture needs sound.
        return tracks if pictured else ["internal"]
    if len(tracks) > container.max_audio_tracks:
        return ["+".join(dict.fromkeys("+".join(tracks).split("+")))]
    return tracks


#: The options of `RecordSettings` fields whose names differ from the field's.
_OPTIONS: Final = {
    "output": "OUTPUT",
    "duration_s": "--duration",
    "delay_s": "--delay",
    "stop_after_silence_s": "--stop-after-silence",
    "sound_threshold_dbfs": "--sound-threshold",
    "replay_s": "--replay",
    "buffer_bytes": "--buffer-size",
    "fallback_folder": "--fallback-dir",
    "loudness_lufs": "--loudness",
    "pre_roll_s": "--pre-roll",
    "ledger": "--log",
}


def as_option(field: str, value: object, verb: str = "record") -> str:
    """Return a field of `RecordSettings` as `verb` writes it, with its value unless it is a flag."""
    option = _OPTIONS.get(field) or f"--{field.replace('_', '-')}"
    if (verb, field) == ("replay", "replay_s"):
        option = "--last"
    if value is None or isinstance(value, bool):
        return option
    if isinstance(value, tuple):
        value = "x".join(map(str, value))
    if isinstance(value, str) and (not value or not value.isprintable() or value != value.strip()):
        value = repr(value)
    if isinstance(value, float):
        unit = {"s": "s", "dbfs": "dB", "lufs": "LUFS"}.get(field.rpartition("_")[2], "")
        value = f"{value:g}{unit}"
    return f"{option} {value}"


def settings_of(arguments: Arguments, config: Config) -> RecordSettings:
    """Return the settings that the arguments of a recording verb ask for; `config` fills what they leave open.

    Raises `UsageError`.
    """
    from capture.parsing import (
        parse_audio,
        parse_fps,
        parse_level,
        parse_loudness,
        parse_region,
        parse_scale,
        parse_size,
        parse_time,
    )
    from capture.settings.record_settings import RecordSettings

    fill(config, vars(arguments))
    screen = None if arguments.screen == "none" else arguments.screen or "auto"
    output = Path(arguments.output) if arguments.output is not None else None
    window = getattr(arguments, "window", None)
    for option in ("screen", "region"):
        other = getattr(arguments, option)
        if window is not None and other is not None:
            raise UsageError(f"--window {window} and --{option} {other} exclude each other", "drop one of them")
    if arguments.region == SELECT and arguments.verb == "headless":
        raise UsageError("the desktop of headless is invisible: there is nothing to select", "give --region WxH+X+Y")
    loudness = None
    if arguments.loudness is not None:
        loudness = parse_loudness(arguments.loudness)
    silence = getattr(arguments, "stop_after_silence", None)
    fallback = getattr(arguments, "fallback_dir", None)
    replay_s = _optional_time(arguments.last if arguments.verb == "replay" else getattr(arguments, "replay", None))
    if replay_s is None and arguments.verb == "replay":
        replay_s = config.replay_last_s
    duration_s = _optional_time(arguments.duration)
    size = getattr(arguments, "buffer_size", None)
    scale, stretch = (None, False) if arguments.scale is None else parse_scale(arguments.scale)
    hold = getattr(arguments, "hold", None)
    values: dict[str, Any] = {
        "audio": parse_audio(["internal"] if arguments.audio is None else arguments.audio),
        "screen": screen,
        "region": None if arguments.region in (None, SELECT) else parse_region(arguments.region),
        "window": window,
        "scale": scale,
        "stretch": stretch,
        "fps": parse_fps(arguments.fps),
        "constant_fps": arguments.constant_fps,
        "cursor": arguments.cursor,
        "show_clicks": arguments.show_clicks,
        "show_keys": arguments.show_keys,
        "quality": arguments.quality,
        "encoder": arguments.encoder,
        # That of a replay buffer is the time until it ends.
        "duration_s": None if arguments.verb == "replay" else duration_s,
        "delay_s": parse_time(getattr(arguments, "delay", None) or "0", zero_allowed=True),
        "pattern": arguments.source == "pattern",
        "overwrite": arguments.overwrite,
        "wait_for_sound": bool(getattr(arguments, "wait_for_sound", False)),
        "wait_for_window": getattr(arguments, "wait_for_window", False),
        "speech": getattr(arguments, "speech", False),
        "stop_after_silence_s": _optional_time(silence),
        "sound_threshold_dbfs": parse_level(getattr(arguments, "sound_threshold", "-50dB")),
        "repeat": getattr(arguments, "repeat", False),
        "standby": arguments.verb in ("standby", "replay"),
        "replay_s": replay_s,
        "pre_roll_s": _optional_time(getattr(arguments, "pre_roll", None)) or 0.0,
        "buffer_bytes": config.replay_buffer_bytes if size is None else parse_size(size),
        "fallback_folder": None if fallback is None else Path(fallback),
        # The setting applies to standby, which waits for keys anyway.
        "hold": config.hold if hold is None and arguments.verb == "standby" else hold,
        "voice": bool(arguments.voice),
        "loudness_lufs": loudness,
        "ledger": arguments.ledger,
        "title": getattr(arguments, "title", None),
        "name": arguments.name,
    }
    values["numbered"] = values["dated"] = output is None
    if output is not None:
        return RecordSettings(output, **values)
    from datetime import datetime

    from capture.output.naming import dated_name, default_path

    ending, now = "ogg" if screen is None else "mp4", datetime.now().astimezone()
    folder = config.folder_for(ending)
    settings = RecordSettings(folder / dated_name(ending, now), **values)
    # Report a mistake before the folder is created.
    settings.check()
    default_path(ending, now=now, folder=folder)
    return settings


def _optional_time(text: str | None) -> float | None:
    from capture.parsing import parse_time

    return None if text is None else parse_time(text)
