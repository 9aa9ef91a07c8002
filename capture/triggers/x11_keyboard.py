"""Finds the keys of an X11 keyboard that a key binding means, in each of the keyboard's layouts.

Needs no display: `Keyboard` is what the server says of its keyboard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final, NamedTuple

from capture.triggers.bindings import ALT_GR, MODIFIERS, Combination, KeyEvent
from capture.triggers.keysyms import KEYPAD, MODIFIER_KEYS, NUM_LOCK, SCROLL_LOCK, binding_names

__all__ = ["Chord", "Key", "Keyboard", "Plan"]

#: X11's bits of the modifiers that are not looked up, and of Caps Lock.
_SHIFT: Final = 1
_CAPS_LOCK: Final = 2
_CONTROL: Final = 4

#: Where an event's state has the layout.
_LAYOUT_SHIFT: Final = 13
_LAYOUT_MASK: Final = 3

#: The rows of a US keyboard by the keycode of the first key. Both sets of keycodes that X servers use for PC keyboards,
#: evdev and xfree86, have these.
_US_ROWS: Final[Mapping[int, str]] = {
    **{10: "1234567890-=", 24: "qwertyuiop[]", 38: "asdfghjkl;'`", 51: "\\zxcvbnm,./"},
}
_US_PLACES: Final = {char: first + at for first, row in _US_ROWS.items() for at, char in enumerate(row)}


class Key(NamedTuple):
    """What a key types: in each of its layouts the keysym without modifiers, the one with Shift, and so on.

    If the keyboard has more layouts than this key, the further ones are the key's last one (`clamps`), the one that
    `redirects_to` names, or the key's layouts in turn.
    """

    layouts: tuple[tuple[int, ...], ...]
    clamps: bool = False
    redirects_to: int | None = None

    def symbol(self, layout: int, level: int) -> int:
        """Return the keysym of the key in a layout of the keyboard, 0 if there is none."""
        count = len(self.layouts)
        if not count:
            return 0
        if layout >= count:
            if self.redirects_to is not None:
                layout = self.redirects_to if self.redirects_to < count else 0
            else:
                layout = count - 1 if self.clamps else layout % count
        symbols = self.layouts[layout]
        return symbols[level] if level < len(symbols) else 0


@dataclass(frozen=True)
class Keyboard:
    """The keys by keycode, and the keycodes of each of X11's eight modifiers."""

    keys: Mapping[int, Key]
    modifiers: Sequence[Sequence[int]]

    @cached_property
    def layouts(self) -> int:
        """How many layouts the keyboard has."""
        return max((len(key.layouts) for key in self.keys.values()), default=0)

    @cached_property
    def masks(self) -> Mapping[str, int]:
        """The bit in an event's state of each modifier of a binding; 0 for a modifier that the keyboard lacks."""
        masks = {**dict.fromkeys((*MODIFIERS, ALT_GR), 0), "shift": _SHIFT, "ctrl": _CONTROL}
        taken = _SHIFT | _CAPS_LOCK | _CONTROL
        for row, keycodes in enumerate(self.modifiers):
            for keycode in keycodes:
                name = self.modifier(keycode)
                if name is not None and not masks[name] and not taken & 1 << row:
                    masks[name] = 1 << row
                    taken |= 1 << row
        return masks

    @cached_property
    def num_lock(self) -> int:
        """The bit of Num Lock, 0 if the keyboard lacks it."""
        return self._lock(NUM_LOCK)

    @cached_property
    def locks(self) -> int:
        """The bits of all locks that a binding disregards."""
        return _CAPS_LOCK | self.num_lock | self._lock(SCROLL_LOCK)

    def modifier(self, keycode: int) -> str | None:
        """Return the modifier that a key holds while it is down."""
        return MODIFIER_KEYS.get(self.symbol(keycode, 0, 0))

    def symbol(self, keycode: int, layout: int, level: int) -> int:
        key = self.keys.get(keycode)
        return 0 if key is None else key.symbol(layout, level)

    def is_keypad(self, keycode: int) -> bool:
        return any(self.symbol(keycode, 0, level) in KEYPAD for level in (0, 1))

    def _lock(self, symbol: int) -> int:
        others = _SHIFT | _CAPS_LOCK | _CONTROL | sum(set(self.masks.values()) - {_SHIFT, _CONTROL})
        for row, keycodes in enumerate(self.modifiers):
            if not others & 1 << row and any(self.symbol(keycode, 0, 0) == symbol for keycode in keycodes):
                return 1 << row
        return 0


class Chord(NamedTuple):
    """A key with exactly these modifiers, locks among them, as X11's bit mask."""

    keycode: int
    modifiers: int


class Plan:
    """The keys of `keyboard` that `combinations` mean. Does not change.

    A combination means the key that types its character in the layout at hand, with Shift if no key types it without.
    If that layout types no such character, it means the key that types it in another layout, and if none does, the key
    that has it on a US keyboard.
    """

    def __init__(self, keyboard: Keyboard, combinations: Sequence[Combination]) -> None:
        self.keyboard = keyboard
        self._combinations = frozenset(combinations)
        self._wanted = sorted({combination.key for combination in combinations})
        self._index = _Index(keyboard)
        #: The characters that no key types, which are looked for in their places on a US keyboard.
        self.by_place: frozenset[str] = frozenset()
        self._names: dict[tuple[int, bool, int], list[str]] = defaultdict(list)
        found: set[str] = set()
        for layout, name in product(range(keyboard.layouts), self._wanted):
            found.update(name for _ in self._assign(name, layout))
        self._found = found

    def can(self, combination: Combination) -> bool:
        """Whether this keyboard has the key and the modifiers of a combination."""
        return combination.key in self._found and all(self.keyboard.masks[held] for held in combination.modifiers)

    def event(self, keycode: int, state: int) -> KeyEvent:
        """Return the press or release of a key, with the names that it has in the layout of `state`."""
        layout = state >> _LAYOUT_SHIFT & _LAYOUT_MASK
        modifier = self.keyboard.modifier(keycode)
        names = self._names_of(keycode, layout, bool(state & self.keyboard.num_lock))
        held = frozenset(name for name, mask in self.keyboard.masks.items() if state & mask)
        return KeyEvent(keycode, tuple(names) if modifier is None else (modifier, *names), held)

    def meaning(self, event: KeyEvent) -> Combination | None:
        """Return the combination that a press is."""
        if event.modifiers is None:
            return None
        pressed = (Combination(event.modifiers, name) for name in event.names)
        return next((combination for combination in pressed if combination in self._combinations), None)

    def chords(self, combination: Combination) -> Iterator[tuple[Chord, bool]]:
        """Yield each key with modifiers and locks that is `combination`, and whether it is so in every layout."""
        if not self.can(combination):
            return
        held = sum(self.keyboard.masks[name] for name in combination.modifiers)
        for keycode, locks in product(self._keycodes(combination.key), _subsets(self.keyboard.locks)):
            states = [held | locks | layout << _LAYOUT_SHIFT for layout in range(self.keyboard.layouts)]
            matches = [self.meaning(self.event(keycode, state)) == combination for state in states]
            if any(matches):
                yield Chord(keycode, held | locks), all(matches)

    def _keycodes(self, name: str) -> set[int]:
        return {keycode for (_, _, keycode), names in self._names.items() if name in names}

    def _names_of(self, keycode: int, layout: int, num_lock: bool) -> list[str]:
        return self._names.get((layout, num_lock, keycode), [])

    def _assign(self, name: str, layout: int) -> Iterator[int]:
        """Give the name to its keys in a layout, and yield them."""
        for num_lock in (False, True):
            for keycode in self._index.keypad(layout, num_lock, name):
                # What a key types comes before what other names fall back on.
                self._names[layout, num_lock, keycode].insert(0, name)
                yield keycode
        keycodes, typed = self._look_up(name, layout)
        for num_lock, keycode in product((False, True), keycodes):
            names = self._names[layout, num_lock, keycode]
            names.insert(0 if typed else len(names), name)
            yield keycode

    def _look_up(self, name: str, layout: int) -> tuple[list[int], bool]:
        """Return the keys that `name` means in a layout, and whether they type it there without modifiers."""
        others = [other for other in range(self.keyboard.layouts) if other != layout]
        for place, level in ((layout, 0), (layout, 1), *((other, 0) for other in others)):
            if found := self._index.others(place, level, name):
                return found, (place, level) == (layout, 0)
        keycode = _US_PLACES.get(name, 0)
        if not self.keyboard.symbol(keycode, layout, 0):
            return [], True
        if not any(self._index.keypad(layout, num_lock, name) for num_lock in (False, True)):
            self.by_place |= {name}
        return [keycode], False


class _Index:
    """Finds keys by what they type."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._others: dict[tuple[int, int, str], list[int]] = defaultdict(list)
        self._keypad: dict[tuple[int, int, str], list[int]] = defaultdict(list)
        known: dict[int, tuple[str, ...]] = {}
        for keycode, key in keyboard.keys.items():
            table = self._keypad if keyboard.is_keypad(keycode) else self._others
            for layout, level in product(range(keyboard.layouts if key.layouts else 0), (0, 1)):
                symbol = key.symbol(layout, level)
                if symbol not in known:
                    known[symbol] = binding_names(symbol)
                for name in known[symbol]:
                    table[layout, level, name].append(keycode)

    def others(self, layout: int, level: int, name: str) -> list[int]:
        """Return the keys outside the keypad that type `name`."""
        return self._others.get((layout, level, name), [])

    def keypad(self, layout: int, num_lock: bool, name: str) -> list[int]:
        """Return the keys of the keypad that type `name`."""
        return self._keypad.get((layout, int(num_lock), name), [])


def _subsets(mask: int) -> list[int]:
    return [part for part in range(mask + 1) if part & mask == part]
