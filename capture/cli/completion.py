"""The verb completion: writes a script that completes the words of capture in a shell, made from the parser itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from capture.cli.key_words import with_keys
from capture.cli.outline import Argument, Option, Outline, VerbOutline, read_outline
from capture.cli.parser import Arguments, Verb
from capture.cli.text import write, write_json

__all__ = ["VERBS", "script_for"]


def script_for(shell: str) -> str:
    """Return the script for `shell`: bash, zsh or fish."""
    return "\n".join({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](_with_settings(read_outline(with_keys))))


def _with_settings(outline: Outline) -> Outline:
    """Add the names of the settings to what can be completed after config."""
    from capture.config.schema import SETTINGS

    def with_settings(verb: VerbOutline) -> VerbOutline:
        first, *others = verb.arguments
        return verb._replace(arguments=(first._replace(words=(*SETTINGS, "autostart", "bind")), *others))

    verbs = tuple(with_settings(verb) if verb.name == "config" else verb for verb in outline.verbs)
    return outline._replace(verbs=verbs)


def _completion(arguments: Arguments) -> int:
    script = script_for(arguments.shell)
    if arguments.json:
        write_json({"shell": arguments.shell, "script": script})
    else:
        write(script)
    return 0


def _bash(outline: Outline) -> Iterator[str]:
    verbs = [verb.name for verb in outline.verbs]
    yield from (
        '# Completion of capture for bash: eval "$(capture completion bash)"',
        "_capture() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= word words= files=",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do',
        "        if [[ $word == -- ]]; then",
        "            # A program follows.",
        "            compopt -o filenames",
        '            mapfile -t COMPREPLY < <(compgen -c -f -- "$cur" | sort -u)',
        "            return",
        "        elif [[ -z $verb && $word != -* ]]; then",
        "            verb=$word",
        "        fi",
        "    done",
        "    case $verb in",
        f"    '') words={_quoted(' '.join([*_flags(outline.options), *verbs, 'help']))} ;;",
        f"    help) words={_quoted(' '.join(verbs))} ;;",
    )
    for verb in outline.verbs:
        words = [*_flags(verb.options), *(word for argument in verb.arguments for word in argument.words)]
        takes_files = " files=-f" if any(argument.takes_file for argument in verb.arguments) else ""
        yield f"    {verb.name}) words={_quoted(' '.join(words))}{takes_files} ;;"
    yield from ("    esac", "    case $verb:$previous in")
    for verb in outline.verbs:
        for option in verb.options:
            if option.value is not None and not option.value.is_optional:
                patterns = "|".join(f"{verb.name}:{flag}" for flag in option.flags)
                files = "-f" if option.value.takes_file else "-d" if option.value.takes_folder else ""
                yield f"    {patterns}) words={_quoted(' '.join(option.value.words))} files={files} ;;"
    yield from (
        "    esac",
        '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")',
        "    if [[ -n $files && $cur != -* ]]; then",
        "        compopt -o filenames",
        '        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen "$files" -- "$cur")',
        "    fi",
        "}",
        "complete -F _capture capture",
    )


def _zsh(outline: Outline) -> Iterator[str]:
    yield "#compdef capture"
    yield '# Completion of capture for zsh: eval "$(capture completion zsh)", after compinit'
    yield "_capture() {"
    yield "    local -a verbs"
    yield "    verbs=("
    for verb in outline.verbs:
        yield f"        {_quoted(_for_zsh(verb.name) + ':' + verb.summary)}"
    yield "        'help:describe a verb and its options'"
    yield "    )"
    yield "    if (( CURRENT == 2 )); then"
    yield "        _describe verb verbs"
    yield f"        _arguments {' '.join(_zsh_options(outline.options))}"
    yield "        return"
    yield "    fi"
    yield "    shift words"
    yield "    (( CURRENT-- ))"
    yield "    case $words[1] in"
    yield "    help) _describe verb verbs ;;"
    for verb in outline.verbs:
        yield f"    {verb.name})"
        parts = [*_zsh_options(verb.options), *_zsh_arguments(verb)]
        yield f"        _arguments {' '.join(parts)} ;;"
    yield "    esac"
    yield "}"
    yield "compdef _capture capture"


def _zsh_options(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        repeats = "*" if option.may_repeat else ""
        value = (
            ""
            if option.value is None or option.value.is_optional
            else f":{_for_zsh(option.value.name)}:{_zsh_values(option.value)}"
        )
        for flag in option.flags:
            yield _quoted(f"{repeats}{flag}[{_for_zsh(option.help)}]{value}")


def _zsh_arguments(verb: VerbOutline) -> Iterator[str]:
    for number, argument in enumerate(verb.arguments, 1):
        place = "*" if argument.is_repeated else str(number)
        colon = ":" if not argument.is_optional or argument.is_repeated else "::"
        yield _quoted(f"{place}{colon}{_for_zsh(argument.name)}:{_zsh_values(argument)}")
    if verb.name == "headless":
        yield _quoted("*::COMMAND:_normal")


def _zsh_values(argument: Argument) -> str:
    if argument.words:
        return f"({' '.join(argument.words)})"
    return "_files" if argument.takes_file else "_files -/" if argument.takes_folder else " "


def _for_zsh(text: str) -> str:
    """Escape what `_arguments` takes for the end of a part."""
    return text.replace("\\", "\\\\").replace(":", "\\:").replace("[", "\\[").replace("]", "\\]")


def _fish(outline: Outline) -> Iterator[str]:
    yield "# Completion of capture for fish: capture completion fish | source"
    yield "complete -c capture -f"
    first = "-n __fish_use_subcommand"
    for verb in outline.verbs:
        yield f"complete -c capture {first} -a {verb.name} -d {_for_fish(verb.summary)}"
    yield f"complete -c capture {first} -a help -d 'describe a verb and its options'"
    yield f"complete -c capture -n '__fish_seen_subcommand_from help' -a {_for_fish(_names(outline))}"
    for option in outline.options:
        yield f"complete -c capture {first} {_fish_option(option)}"
    for verb in outline.verbs:
        seen = f"-n '__fish_seen_subcommand_from {verb.name}'"
        for option in verb.options:
            yield f"complete -c capture {seen} {_fish_option(option)}"
        for argument in verb.arguments:
            if argument.takes_file:
                yield f"complete -c capture {seen} -F"
            elif argument.words:
                yield f"complete -c capture {seen} -a {_for_fish(' '.join(argument.words))}"


def _fish_option(option: Option) -> str:
    names = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    parts = [*names, f"-d {_for_fish(option.help)}"]
    if option.value is not None and not option.value.is_optional:
        parts.append("-rF" if option.value.takes_file or option.value.takes_folder else "-x")
        if option.value.words:
            parts.append(f"-a {_for_fish(' '.join(option.value.words))}")
    return " ".join(parts)


def _names(outline: Outline) -> str:
    return " ".join(verb.name for verb in outline.verbs)


def _flags(options: Iterable[Option]) -> list[str]:
    return [flag for option in options for flag in option.flags]


def _quoted(text: str) -> str:
    """Quote `text` for bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _for_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


VERBS: Final[dict[str, Verb]] = {"completion": _completion}
