"""Windows are listed and found, whatever their titles are in, and by their ids as any tool prints them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunCapture
from reopened import pictures
from stage import RED, Pane

from capture.media import Rectangle
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.errors import UsageError
from capture.sources.x11.compound_text import decoded
from capture.sources.x11.window_list import Window, choose_window, find_window, list_windows

#: What xterm 379 writes for the title `Übung – 你好`.
FROM_XTERM = b"\xdcbung \x1b%G\xe2\x80\x93\x1b%@ \x1b$(ADc\x1b$(B9%"


@pytest.fixture
def pane(in_process_desk: VirtualDesk, desk_environment: dict[str, str]) -> Iterator[Pane]:
    """A window of 64x48 at 40,30; its title is that of programs from before Unicode."""
    with Pane(desk_environment, "before", (40, 30, 64, 48), RED) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "kind", "value", "title"),
    [
        ("_NET_WM_NAME", "UTF8_STRING", b"Br\xc3", "Br�"),
        ("_NET_WM_NAME", "UTF8_STRING", "Übung \u2013 你好".encode(), "Übung \u2013 你好"),
        ("_NET_WM_NAME", "STRING", b"Gr\xfc\xdfe", "Grüße"),
        ("_NET_WM_NAME", "UTF8_STRING", b"", "before"),
        ("_NET_WM_NAME", "CARDINAL", [66, 67], "before"),
        ("WM_NAME", "STRING", b"Gr\xfc\xdfe", "Grüße"),
        ("WM_NAME", "COMPOUND_TEXT", FROM_XTERM, "Übung \u2013 你好"),
        ("WM_NAME", "UTF8_STRING", b"a\x1b[31m\nb\x00c", "a [31m b"),
        ("WM_NAME", "UNHEARD_OF", b"x\xff", "x�"),
    ],
)
def test_a_title_is_read_whatever_it_is_in(
    name: str, kind: str, value: bytes | list[int], title: str, pane: Pane
) -> None:
    pane.set_property(name, kind, value)
    assert [(window.id, window.title) for window in list_windows()] == [(pane.id, title)]
    assert find_window(title).id == find_window(pane.id).id == pane.id


def test_a_managed_window_needs_no_title(pane: Pane) -> None:
    pane.set_property("WM_NAME", "STRING", None)
    assert list_windows() == []
    pane.set_property("WM_STATE", "WM_STATE", [1, 0])
    assert [(window.id, window.title) for window in list_windows()] == [(pane.id, "")]


def test_ids_are_compared_as_numbers(pane: Pane) -> None:
    number = int(pane.id, 16)
    for wanted in (pane.id, f"0x{number:08x}", f"0X{number:X}", str(number), f"0{number}", f" {pane.id} "):
        assert find_window(wanted).id == pane.id, wanted


def test_a_number_is_a_title_first(pane: Pane) -> None:
    number = int(pane.id, 16)
    there = [
        Window(pane.id, "one", Rectangle(0, 0, 1, 1), False),
        Window("0x1", str(number), Rectangle(0, 0, 1, 1), False),
        Window("0x2", "Report 2024", Rectangle(0, 0, 1, 1), False),
    ]
    assert choose_window(there, str(number)) is there[1]
    assert choose_window(there, pane.id) is there[0]
    assert choose_window(there, "2024") is there[2]


def test_an_id_finds_windows_that_are_not_listed(pane: Pane) -> None:
    pane.set_property("WM_NAME", "STRING", None)
    assert find_window(pane.id).area == Rectangle(40, 30, 64, 48)
    pane.show(False)
    assert find_window(pane.id).area == Rectangle(40, 30, 64, 48)


@pytest.mark.parametrize("wanted", ["0x7", "0", "4294967296", "0x" + "f" * 20, "9" * 5000])
@pytest.mark.usefixtures("pane")
def test_an_id_of_no_window_is_a_usage_error(wanted: str) -> None:
    with pytest.raises(UsageError, match="there is no window"):
        find_window(wanted)


def test_no_title_breaks_a_verb(
    pane: Pane, run_capture: RunCapture, desk_environment: dict[str, str], tmp_path: Path
) -> None:
    pane.set_property("_NET_WM_NAME", "UTF8_STRING", b"Br\xc3")
    with Pane(desk_environment, "", (200, 30, 64, 48), RED) as other:
        other.set_property("WM_NAME", "COMPOUND_TEXT", FROM_XTERM)
        found = run_capture("devices", "--json")
        titles = [window["title"] for window in json.loads(found.stdout)["windows"]]
        done = run_capture("record", "br.mkv", "--window", "Übung", "--duration", "0.3", "--audio", "none")
    assert (found.returncode, titles) == (0, ["Br�", "Übung \u2013 你好"]), found.stderr
    assert done.returncode == 0, done.stderr
    assert pictures(tmp_path / "br.mkv").last.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("日本語 title".encode("iso2022_jp"), "日本語 title"),
        (b"a\x1b$)C" + "한국".encode("euc_kr") + b"\x1b-A \xe9", "a한국 é"),
        (b"\x1b-L" + "Привет".encode("iso8859_5"), "Привет"),
        (b"\x1b%/1\x80\x89big5-0\x02\xa7\x41!", "你!"),
        (b"\x1b%/1\x80\x86none\x02\xa7", "�"),
        (b"\x1b$(G!!!!\x1b(Bok\x1b", "��ok\x1b"),
        (b"\x1b%Gopen\xc3", "open�"),
        (b"\x9b2]\xa0\x1b)I\xb1", "\xa0ｱ"),
    ],
)
def test_compound_text(text: bytes, title: str) -> None:
    assert decoded(text) == title
