"""Hotkeys send the commands they are bound to: with exactly their modifiers, once per press, or while they are held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_presses import Heard, hold, let_go, until_repeated, xdotool
from running import eventually
from stage import Stage, press

from capture.errors import UsageError
from capture.events import Command
from capture.triggers.bindings import (
    ALT_GR,
    DEFAULT_HOTKEYS,
    HOTKEYS,
    MODIFIERS,
    KeyEvent,
    Matcher,
    as_readable,
    check_bindings,
)
from capture.triggers.hotkeys import Hotkeys
from capture.virtual.desk import VirtualDesk

HOLD = "<ctrl>+<alt>+space"

#: The keycode of the space bar.
SPACE = 65

#: A release takes effect within this time, so a recording ends where the key was released.
RELEASE_LIMIT_S = 0.05

BINDINGS: Mapping[str, Command] = {
    "<ctrl>+<alt>+r": Command.TOGGLE,
    "<ctrl>+<alt>+p": Command.TOGGLE_PAUSE,
    "<ctrl>+<alt>+x": Command.DISCARD,
    "<ctrl>+<alt>+m": Command.MARK,
    "<f9>": Command.RESUME,
}


# How keys are written


@pytest.mark.parametrize(
    "text",
    [
        *("r", "R", "7", "é", "+", "<ctrl>++", "<f1>", "<F24>", "<65>", "<ctrl>+<65>", "<pause>", "<cmd>+<media_stop>"),
        *(
            "<ctrl>+<alt>+r",
            "<alt>+<ctrl>+<shift>+<cmd>+<page_up>",
            "<CTRL>+<Alt>+<Space>",
            "r+<ctrl>",
            "<",
            "<ctrl>+>",
        ),
    ],
)
def test_a_valid_key_is_accepted(text: str) -> None:
    check_bindings({text: Command.STOP})
    check_bindings({}, text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "+r",
            "<ctrl>+",
            "<ctrl>",
            "<ctrl>+<alt>",
            "ctrl+alt",
            "ctrl+ctrl+r",
            "<ctrl>+<ctrl>+r",
            "r+p",
            "rp",
            "65",
        ),
        *(
            "<no-such-key>",
            "<f25>",
            "<f0>",
            "<r>",
            "<>",
            "<ctrl>+ ",
            " ",
            "spaces",
            "<ctrl> + r",
            "<ctrl+r",
            "a b",
            "<alt_gr>+r",
            "<-1>",
            f"<{'9' * 5000}>",
        ),
    ],
)
def test_an_invalid_key_is_refused(text: str) -> None:
    for bindings, held in (({text: Command.STOP}, None), (DEFAULT_HOTKEYS, text)):
        with pytest.raises(UsageError, match="is not a key") as caught:
            Hotkeys(bindings, held)
        assert repr(text) in caught.value.message
        assert caught.value.remedy.startswith("write it like <ctrl>+<alt>+r")


@given(st.text(max_size=12))
def test_any_text_is_a_key_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        check_bindings({text: Command.STOP})


def test_brackets_are_optional() -> None:
    with pytest.raises(UsageError, match="two commands"):
        check_bindings({"<ctrl>+<alt>+<space>": Command.STOP, "alt+ctrl+SPACE": Command.PAUSE})
    with pytest.raises(UsageError, match="two commands"):
        check_bindings({"<65>": Command.STOP, "<065>": Command.PAUSE})


def test_a_key_with_two_commands_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'<alt>\+<ctrl>\+R' has two commands"):
        check_bindings({"<ctrl>+<alt>+r": Command.STOP, "<alt>+<ctrl>+R": Command.PAUSE})
    check_bindings({"<ctrl>+<alt>+r": Command.STOP, "<alt>+<ctrl>+r": Command.STOP})


def test_a_hold_key_that_also_has_a_command_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'<alt>\+<ctrl>\+p' is also the key for toggle_pause"):
        check_bindings(DEFAULT_HOTKEYS, "<alt>+<ctrl>+p")


def test_the_default_keys_are_valid() -> None:
    check_bindings(DEFAULT_HOTKEYS, HOLD)
    assert len(DEFAULT_HOTKEYS) == len({hotkey.name for hotkey in HOTKEYS}) == len(HOTKEYS)
    assert DEFAULT_HOTKEYS["<ctrl>+<alt>+c"] is Command.CLIP


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<alt>+<CTRL>+r", "Ctrl+Alt+R"),
        ("<shift>+<cmd>+<page_up>", "Shift+Cmd+Page up"),
        ("f9", "F9"),
        ("<ctrl>++", "Ctrl++"),
        ("<ctrl>+<", "Ctrl+<"),
        ("<65>", "65"),
    ],
)
def test_a_key_has_a_readable_name(text: str, spoken: str) -> None:
    assert as_readable(text) == spoken


def test_an_invalid_key_is_refused_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UsageError, match=r"'<hyper>\+r' is not a key \(there is no <hyper>\)") as caught:
        Hotkeys({}, "<hyper>+r")
    assert caught.value.exit_code == 2


# Matching


class Keys:
    """A matcher with a keyboard. With `reports`, the system reports which modifiers are held."""

    def __init__(self, hold: str | None = HOLD, *, reports: bool = True) -> None:
        self.matcher = Matcher(BINDINGS, hold)
        self._reports = reports
        self.down: list[str] = []

    def press(self, *names: str) -> list[Command]:
        """Press keys one after the other and keep them down. Returns the commands they give."""
        commands = []
        for name in names:
            commands += self.matcher.press(self._event(name))
            if name not in self.down:
                self.down.append(name)
        return commands

    def release(self, *names: str) -> list[Command]:
        """Release keys one after the other. Returns the commands they give."""
        commands = []
        for name in names:
            commands += self.matcher.release(self._event(name))
            if name in self.down:
                self.down.remove(name)
        return commands

    def lose(self, *names: str) -> None:
        """Release keys without the matcher noticing."""
        for name in names:
            self.down.remove(name)

    def _event(self, name: str) -> KeyEvent:
        held = frozenset(_bare(key) for key in self.down) & {*MODIFIERS, ALT_GR}
        return KeyEvent(name, (_bare(name),), held if self._reports else None)


def _bare(name: str) -> str:
    """Return the name in bindings: `ctrl_r` is a different key than `ctrl` with the same name."""
    return name.removesuffix("_r")


@pytest.fixture(params=[True, False], ids=["reported", "tracked"])
def keys(request: pytest.FixtureRequest) -> Keys:
    return Keys(reports=request.param)


def test_a_binding_needs_exactly_its_modifiers(keys: Keys) -> None:
    assert keys.press("ctrl", "alt", "r") == [Command.TOGGLE]
    keys.release("r")
    assert keys.press("shift", "r") == []
    keys.release("r", "shift")
    assert keys.press("r") == [Command.TOGGLE]
    keys.release("r", "alt")
    assert keys.press("r") == []
    keys.release("r", "ctrl")
    assert keys.press("r", "p", "x") == []
    keys.release("r", "p", "x")
    assert keys.press("alt", "ctrl", "p", "x", "m") == [Command.TOGGLE_PAUSE, Command.DISCARD, Command.MARK]


def test_left_and_right_modifiers_count_and_altgr_does_not(keys: Keys) -> None:
    assert keys.press("ctrl_r", "alt", "alt_r", "r") == [Command.TOGGLE]
    keys.release("r", "alt")
    # The other Alt is still held.
    assert keys.press("r") == [Command.TOGGLE]
    keys.release("r", "alt_r")
    assert keys.press("alt_gr", "r") == []
    keys.release("r")
    assert keys.press("alt", "r") == []


def test_other_held_keys_do_not_matter(keys: Keys) -> None:
    assert keys.press("a", "caps_lock", "ctrl", "b", "num_lock", "alt", "r") == [Command.TOGGLE]


def test_a_held_key_fires_once(keys: Keys) -> None:
    assert keys.press("ctrl", "alt", "r", "r", "r", "ctrl", "alt", "r") == [Command.TOGGLE]
    keys.release("r")
    assert keys.press("r") == [Command.TOGGLE]


def test_modifiers_pressed_after_the_key_do_not_fire(keys: Keys) -> None:
    assert keys.press("r", "ctrl", "alt") == []


def test_a_key_without_modifiers_fires_only_without_them(keys: Keys) -> None:
    assert keys.press("f9") == [Command.RESUME]
    keys.release("f9")
    assert keys.press("ctrl", "f9") == []


def test_a_release_without_a_press_is_harmless(keys: Keys) -> None:
    assert keys.release("r", "ctrl", "space") == []
    assert keys.press("ctrl", "alt", "r") == [Command.TOGGLE]


def test_a_name_takes_precedence_over_a_code() -> None:
    matcher = Matcher({"a": Command.STOP, "<65>": Command.MARK, "<66>": Command.PAUSE})
    assert matcher.press(KeyEvent(1, ("a", "<65>"), frozenset())) == [Command.STOP]
    assert matcher.press(KeyEvent(2, ("b", "<66>"), frozenset())) == [Command.PAUSE]
    # A modifier can be bound as a key, by its code.
    matcher = Matcher({}, "<65508>")
    assert matcher.press(KeyEvent(1, ("ctrl", "<65508>"))) == [Command.START]
    assert matcher.release(KeyEvent(1, ("ctrl", "<65508>"))) == [Command.STOP]


def test_lost_releases_of_modifiers_are_corrected() -> None:
    keys = Keys()
    keys.press("ctrl", "alt", "delete")
    # As with Ctrl+Alt+Del, which opens another desktop.
    keys.lose("ctrl", "alt", "delete")
    assert keys.press("r", "p", "x") == []


def test_a_lost_release_costs_at_most_one_press(keys: Keys) -> None:
    keys.press("ctrl", "alt", "r")
    keys.lose("r")
    assert keys.press("r") == []
    keys.release("r")
    assert keys.press("r") == [Command.TOGGLE]


def test_a_lost_release_of_a_modifier_does_not_keep_the_next_hold_from_ending() -> None:
    keys = Keys()
    keys.press("ctrl_r", "a")
    keys.lose("ctrl_r", "a")
    assert keys.press("ctrl", "alt", "space") == [Command.START]
    assert keys.release("ctrl") == [Command.STOP]


# Hold to record


@pytest.mark.parametrize(
    "order",
    [
        *(("space", "alt", "ctrl"), ("space", "ctrl", "alt"), ("alt", "space", "ctrl")),
        *(("alt", "ctrl", "space"), ("ctrl", "space", "alt"), ("ctrl", "alt", "space")),
    ],
)
def test_holding_the_key_records(order: tuple[str, ...], keys: Keys) -> None:
    for _ in range(2):
        assert keys.press("ctrl", "alt", "space", *["space"] * 20) == [Command.START]
        first, *others = order
        assert keys.release(first) == [Command.STOP]
        assert keys.release(*others) == []


def test_a_hold_starts_with_exactly_its_modifiers_and_continues_with_others(keys: Keys) -> None:
    assert keys.press("ctrl", "alt", "shift", "space") == []
    assert keys.release("space", "shift") == []
    assert keys.press("space", "shift", "alt_r", "a") == [Command.START]
    # One of the two held Alts is enough.
    assert keys.release("shift", "a", "alt") == []
    assert keys.release("alt_r") == [Command.STOP]


def test_a_hold_key_without_modifiers() -> None:
    keys = Keys("<f8>")
    assert keys.press("f8", "f8") == [Command.START]
    assert keys.press("h", "i") == []
    assert keys.release("h", "i") == []
    assert keys.release("f8") == [Command.STOP]
    assert keys.press("f8", "p") == [Command.START]
    assert keys.release("f8", "p") == []
    assert keys.press("f8") == [Command.STOP]


def test_the_pause_key_locks_the_recording(keys: Keys) -> None:
    assert keys.press("ctrl", "alt", "space", "p") == [Command.START]
    assert keys.release("p", "space", "ctrl", "alt") == []
    # From now on the pause key pauses again.
    assert keys.press("ctrl", "alt", "p") == [Command.TOGGLE_PAUSE]
    keys.release("p")
    assert keys.press("space", "space") == [Command.STOP]
    assert keys.release("space", "alt", "ctrl") == []
    assert keys.press("ctrl", "alt", "space") == [Command.START]


@pytest.mark.parametrize("key", ["r", "x"])
def test_a_key_that_ends_the_recording_ends_the_hold_and_the_lock(key: str, keys: Keys) -> None:
    command = BINDINGS[f"<ctrl>+<alt>+{key}"]
    assert keys.press("ctrl", "alt", "space", key) == [Command.START, command]
    assert keys.release(key, "space") == []
    assert keys.press("space", "p") == [Command.START]
    assert keys.release("space", "p") == []
    assert keys.press(key) == [command]
    assert keys.press("space") == [Command.START]


def test_a_mark_does_not_end_the_hold(keys: Keys) -> None:
    assert keys.press("ctrl", "alt", "space", "m") == [Command.START, Command.MARK]
    assert keys.release("m", "space") == [Command.STOP]


def test_after_another_end_of_the_recording_the_hold_key_starts_one(keys: Keys) -> None:
    keys.press("ctrl", "alt", "space", "p")
    keys.release("space", "p")
    keys.matcher.reset()
    assert keys.press("space") == [Command.START]
    keys.matcher.reset()
    assert keys.release("space") == []


def test_a_hold_ends_when_its_modifiers_turn_out_to_be_released() -> None:
    keys = Keys()
    keys.press("ctrl", "alt", "space")
    keys.lose("ctrl", "alt", "space")
    # It neither locks nor pauses.
    assert keys.press("p") == [Command.STOP]


def test_a_hold_whose_release_was_lost_ends_with_its_next_release(keys: Keys) -> None:
    keys.press("ctrl", "alt", "space")
    keys.lose("space")
    assert keys.press("space") == []
    assert keys.release("space") == [Command.STOP]


STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(["ctrl", "ctrl_r", "alt", "shift", "space", "p", "r", "m"])))


@given(STEPS, st.booleans())
def test_a_hold_ends_whatever_is_pressed(steps: list[tuple[bool, str]], reports: bool) -> None:
    keys = Keys(reports=reports)
    for goes_down, name in steps:
        if goes_down:
            keys.press(name)
        elif name in keys.down:
            # A release stops a recording or does nothing.
            assert keys.release(name) in ([], [Command.STOP])
    keys.release(*list(keys.down))
    # Nothing is held: the hold key starts a recording, or stops one that was locked.
    begun = keys.press("ctrl", "alt", "space")
    assert begun in ([Command.START], [Command.STOP])
    assert keys.release("space", "alt", "ctrl") == ([Command.STOP] if begun == [Command.START] else [])


@given(
    st.sets(st.sampled_from([*MODIFIERS, ALT_GR])),
    st.sampled_from(["r", "p", "x", "m", "f9", "q"]),
    st.booleans(),
)
def test_a_binding_fires_with_its_modifiers_and_no_others(held: set[str], key: str, reports: bool) -> None:
    keys = Keys(reports=reports)
    keys.press(*sorted(held))
    wanted = BINDINGS.get(key if key != "f9" else "<f9>", BINDINGS.get(f"<ctrl>+<alt>+{key}"))
    fits = held == (set() if key == "f9" else {"ctrl", "alt"})
    assert keys.press(key) == ([wanted] if fits and wanted else [])


# Real keys


@pytest.fixture
def heard(in_process_desk: VirtualDesk) -> Iterator[Heard]:
    """Hotkeys with `BINDINGS`, two more bindings and the hold key, listening."""
    heard = Heard()
    more = {"<ctrl>+<alt>+1": Command.STATUS, "<ctrl>+<shift>+2": Command.PREVIEW}
    hotkeys = Hotkeys({**BINDINGS, **more}, HOLD)
    hotkeys.start(heard)
    yield heard
    hotkeys.stop()


def test_real_keys_fire_only_with_exactly_their_modifiers(heard: Heard, desk_environment: dict[str, str]) -> None:
    press(desk_environment, "ctrl+alt+shift+r", "ctrl+r", "alt+r", "r", "ctrl+alt+super+r")
    press(desk_environment, "ISO_Level3_Shift+ctrl+r", "ctrl+alt+ISO_Level3_Shift+r")
    press(desk_environment, "Control_R+alt+r", "ctrl+shift+2")
    heard.until(Command.TOGGLE, Command.PREVIEW)


def test_a_key_released_with_shift_is_the_one_that_was_pressed(heard: Heard, desk_environment: dict[str, str]) -> None:
    # It is pressed as 1 and released as an exclamation mark.
    hold(desk_environment, "1", "shift")
    let_go(desk_environment, "1", "shift")
    press(desk_environment, "ctrl+alt+1")
    heard.until(Command.STATUS)


def test_alt_pressed_after_shift_is_alt(heard: Heard, desk_environment: dict[str, str]) -> None:
    # With Shift, the Alt key types Meta.
    hold(desk_environment, "shift", "ctrl", "alt")
    let_go(desk_environment, "shift")
    hold(desk_environment, "m")
    let_go(desk_environment, "m", "alt", "ctrl")
    heard.until(Command.MARK)


@pytest.mark.parametrize("lock", ["Caps_Lock", "Num_Lock"])
def test_caps_lock_and_num_lock_do_not_matter(lock: str, heard: Heard, desk_environment: dict[str, str]) -> None:
    xdotool(desk_environment, "key", lock)
    try:
        for key in ("ctrl+alt+r", "F9", "ctrl+alt+1"):
            xdotool(desk_environment, "key", key)
        hold(desk_environment, "ctrl", "alt", "space")
        let_go(desk_environment, "ctrl", "alt", "space")
    finally:
        xdotool(desk_environment, "key", lock)
    heard.until(Command.TOGGLE, Command.RESUME, Command.STATUS, Command.START, Command.STOP)


def test_the_digits_beside_the_letters_are_digits_with_num_lock(heard: Heard, desk_environment: dict[str, str]) -> None:
    # By keycode: given the name, xdotool presses Num Lock itself.
    keypad_1 = ("keydown", "ctrl", "keydown", "alt", "key", "87", "keyup", "alt", "keyup", "ctrl")
    xdotool(desk_environment, *keypad_1)
    xdotool(desk_environment, "key", "Num_Lock", *keypad_1, "key", "Num_Lock")
    heard.until(Command.STATUS)


@pytest.mark.parametrize("last", ["space", "alt", "ctrl"])
def test_holding_a_real_key_records(last: str, heard: Heard, desk_environment: dict[str, str]) -> None:
    keys = ["ctrl", "alt", "space"]
    hold(desk_environment, *keys)
    heard.until(Command.START)
    first = "ctrl" if last != "ctrl" else "space"
    released_at_s = let_go(desk_environment, first)
    heard.until(Command.STOP)
    assert heard.at_s[-1] < released_at_s + RELEASE_LIMIT_S
    let_go(desk_environment, *(key for key in keys if key not in (first, last)), last)
    press(desk_environment, "F9")
    heard.until(Command.RESUME)


def test_auto_repeat_does_not_end_a_hold(heard: Heard, desk_environment: dict[str, str]) -> None:
    hold(desk_environment, "ctrl", "alt", "r", "space")
    heard.until(Command.TOGGLE, Command.START)
    until_repeated(SPACE)
    assert heard.commands == []
    let_go(desk_environment, "space", "r", "alt", "ctrl")
    heard.until(Command.STOP)


def test_a_real_pause_key_locks_the_recording(heard: Heard, desk_environment: dict[str, str]) -> None:
    hold(desk_environment, "ctrl", "alt", "space", "p")
    let_go(desk_environment, "p", "space", "alt", "ctrl")
    heard.until(Command.START)
    press(desk_environment, "ctrl+alt+p")
    heard.until(Command.TOGGLE_PAUSE)
    hold(desk_environment, "ctrl", "alt", "space")
    heard.until(Command.STOP)
    let_go(desk_environment, "space", "alt", "ctrl")
    press(desk_environment, "F9")
    heard.until(Command.RESUME)


@pytest.mark.usefixtures("in_process_desk")
def test_text_typed_during_a_hold_arrives_complete(desk_environment: dict[str, str]) -> None:
    heard = Heard()
    hotkeys = Hotkeys(BINDINGS, "<f8>")
    hotkeys.start(heard)
    text = "The quick brown fox, twice: 12345"
    try:
        with Stage(desk_environment) as stage:
            stage.take_focus()
            hold(desk_environment, "F8")
            heard.until(Command.START)
            # The text has no p, which would lock the recording.
            xdotool(desk_environment, "type", "--delay", "1", text)
            assert stage.typed(len(text)) == text
            assert heard.commands == []
            let_go(desk_environment, "F8")
            heard.until(Command.STOP)
    finally:
        hotkeys.stop()


@pytest.mark.usefixtures("in_process_desk")
def test_hotkeys_can_be_stopped_twice() -> None:
    hotkeys = Hotkeys()
    hotkeys.stop()
    hotkeys.take_ended()
    hotkeys.start(lambda command, given_by, **more: None)
    hotkeys.take_ended()
    hotkeys.stop()
    hotkeys.stop()


def test_on_wayland_only_the_portal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    reported: list[str] = []
    hotkeys = Hotkeys(hold=HOLD, report=lambda kind, detail: reported.append(f"{kind} {detail}"))
    hotkeys.start(lambda command, given_by, **more: None)
    eventually(lambda: reported, "the report")
    hotkeys.take_ended()
    hotkeys.stop()
    hotkeys.stop()
    assert (hotkeys.keys, hotkeys.hold_key, len(reported)) == ({}, "", 1)
    assert reported[0].startswith("no_hotkeys hotkeys do not work in this Wayland session (there is no session bus): ")
