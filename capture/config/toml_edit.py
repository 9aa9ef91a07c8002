"""Changes one key of a TOML text and keeps the rest as its author wrote it: comments, order and blank lines.

The text is split into statements: the fewest lines that are valid TOML on their own. The result is parsed again; if
anything but the one key changed, the edit is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = ["TomlValue", "as_toml", "with_value", "without"]

TomlValue: TypeAlias = str | bool | int | float | Sequence[str]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class _Statement(NamedTuple):
    """Lines `first` up to, not including, `end`: the header of the table `path`, or the assignment to the key `path`.

    `table` is the table that it belongs to.
    """

    first: int
    end: int
    path: tuple[str, ...]
    table: tuple[str, ...]


def as_toml(value: TomlValue) -> str:
    """Format `value` as TOML; text must not contain lone surrogates."""
    if isinstance(value, str):
        # JSON strings are TOML strings, except for this character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(map(as_toml, value))}]"


def _parsed(text: str) -> dict[str, Any]:
    """Parse TOML. Raises `ValueError`."""
    # Imported here: who only reads the settings changes nothing.
    import tomllib

    return tomllib.loads(text)


def with_value(text: str, path: tuple[str, ...], value: TomlValue) -> str:
    """Return `text`, which is TOML, with the key `path` of a table set to `value`.

    Raises `ValueError` when the key is written in a form that this module cannot change.
    """
    wanted = _parsed(text)
    _set(wanted, path, list(value) if isinstance(value, tuple) else value)
    return _checked(text, wanted, lambda lines: _put(lines, path, as_toml(value)))


def without(text: str, path: tuple[str, ...]) -> str:
    """Return `text`, which is TOML, without the key `path`.

    Raises `ValueError` when the key is absent, or written in a form that this module cannot change.
    """
    wanted = _parsed(text)
    _set(wanted, path, None)
    return _checked(text, wanted, lambda lines: _remove(lines, path))


def _checked(text: str, wanted: dict[str, Any], change: Any) -> str:
    ends = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    change(lines)
    changed = "\n".join(lines)
    if _pruned(_parsed(changed)) != _pruned(wanted):
        raise ValueError("other keys would change too")
    return changed.replace("\n", ends)


def _put(lines: list[str], path: tuple[str, ...], value: str) -> None:
    statements = list(_statements(lines))
    for found in statements:
        if found.path == path != found.table:
            lines[found.first : found.end] = [_replaced("\n".join(lines[found.first : found.end]), value)]
            return
    table = path[:-1]
    inside = [found for found in statements if found.table == table]
    dotted = [found for found in statements if not found.table and found.path[: len(table)] == table]
    if inside or dotted:
        last = (inside or dotted)[-1]
        key = _key(path[-1:] if inside else path)
        indent = re.match(r"[ \t]*", lines[last.first])
        lines.insert(last.end, f"{indent[0] if indent else ''}{key} = {value}")
        return
    while lines and not lines[-1].strip():
        lines.pop()
    lines += [*([""] if lines else []), f"[{_key(table)}]", f"{_key(path[-1:])} = {value}", ""]


def _remove(lines: list[str], path: tuple[str, ...]) -> None:
    for found in _statements(lines):
        if found.path == path:
            del lines[found.first : found.end]
            return
    raise ValueError("it has no line of its own")


def _statements(lines: Sequence[str]) -> Iterator[_Statement]:
    table: tuple[str, ...] = ()
    first = 0
    while first < len(lines):
        start = lines[first].strip(" \t")
        if not start or start.startswith("#"):
            first += 1
            continue
        end = first + 1
        while (content := _loaded(lines[first:end])) is None:
            end += 1
            if end > len(lines):
                raise ValueError("it cannot be split into statements")
        path = _path(content)
        if start.startswith("["):
            # No setting is in an array of tables: give its keys a path that matches none.
            table = path if not start.startswith("[[") else ("[[",)
            yield _Statement(first, end, table, table)
        else:
            yield _Statement(first, end, (*table, *path), table)
        first = end


def _loaded(lines: Sequence[str]) -> dict[str, Any] | None:
    try:
        return _parsed("\n".join(lines))
    except ValueError:
        return None


def _path(content: Any) -> tuple[str, ...]:
    """Return the keys that lead to the only value, or the only empty table, of a statement."""
    path: list[str] = []
    while isinstance(content, dict) and len(content) == 1:
        ((key, content),) = content.items()
        path.append(key)
    return tuple(path)


def _replaced(statement: str, value: str) -> str:
    """Return the statement with another value and the same trailing comment."""
    comment = ""
    for found in re.finditer("#", statement):
        before = statement[: found.start()]
        if _loaded([before]):
            comment = statement[len(before.rstrip()) :]
            break
    return f"{statement.partition('=')[0]}= {value}{comment}"


def _key(path: Sequence[str]) -> str:
    return ".".join(part if _BARE.fullmatch(part) else as_toml(part) for part in path)


def _set(content: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Set a key, or remove it for None. Raises `ValueError` when the name of its table is a plain key."""
    *tables, key = path
    for name in tables:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise ValueError(f"{name} is not a table")
    if value is None:
        content.pop(key, None)
    else:
        content[key] = value


def _pruned(content: dict[str, Any]) -> dict[str, Any]:
    """Return `content` without empty tables: they hold no settings."""
    content = deepcopy(content)
    for key, value in list(content.items()):
        if isinstance(value, dict):
            content[key] = _pruned(value)
            if not content[key]:
                del content[key]
    return content
