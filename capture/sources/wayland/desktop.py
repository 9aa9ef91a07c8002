"""The outputs of a Wayland desktop, and whether its compositor gives programs their pictures."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import Final

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Rectangle
from capture.sources.x11.monitors import Screen
from capture.system.wayland_connection import Connection, Handler, as_text, text_of

__all__ = ["Desktop", "Output", "list_outputs"]

#: What is bound, and the version that is needed: names of outputs, and pictures with what changed in them.
_OUTPUT: Final = "wl_output"
_SHARED_MEMORY: Final = "wl_shm"
_PLACES: Final = "zxdg_output_manager_v1"
_PICTURES: Final = "zwlr_screencopy_manager_v1"
_NEEDED: Final = {_SHARED_MEMORY: 1, _PLACES: 2, _PICTURES: 3}
_OUTPUT_VERSION: Final = 2

#: Requests and events, by object.
_REGISTRY_BIND: Final = 0
_REGISTRY_GLOBAL: Final = 0
_REGISTRY_GLOBAL_REMOVE: Final = 1
_OUTPUT_GEOMETRY: Final = 0
_PLACES_GET: Final = 1
_PLACE_POSITION: Final = 0
_PLACE_SIZE: Final = 1
_PLACE_NAME: Final = 3
_OUTPUT_MODE: Final = 1

#: The flag of the mode that is in use.
_CURRENT: Final = 1


class Output:
    """An output: what the compositor calls it, and where it lies on the desktop, in the desktop's units.

    `transform` is how it is rotated or mirrored, as in `wl_output.transform`; `mode` is its size in pixels before that.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = ""
        self.area = Rectangle(0, 0, 0, 0)
        self.transform = 0
        self.mode = (0, 0)

    @property
    def is_known(self) -> bool:
        return bool(self.name and self.area.width and self.area.height)

    @property
    def scale(self) -> float:
        """How many pixels a unit of the desktop takes."""
        return round(self.mode[self.transform % 2] / self.area.width, 3)

    def on_output(self, code: int, arguments: bytes) -> None:
        if code == _OUTPUT_GEOMETRY:
            # It ends with the transform, after two strings.
            (self.transform,) = struct.unpack_from("=i", arguments, len(arguments) - 4)
        elif code == _OUTPUT_MODE:
            flags, width, height, _ = struct.unpack_from("=Iiii", arguments)
            if flags & _CURRENT:
                self.mode = (width, height)

    def on_place(self, code: int, arguments: bytes) -> None:
        left, top, width, height = self.area.left, self.area.top, self.area.width, self.area.height
        if code == _PLACE_POSITION:
            left, top = struct.unpack_from("=ii", arguments)
        elif code == _PLACE_SIZE:
            width, height = struct.unpack_from("=ii", arguments)
        elif code == _PLACE_NAME:
            self.name = text_of(arguments)
        self.area = Rectangle(left, top, width, height)


class Desktop:
    """A connection to the compositor, with its outputs as they are after each `connection.wait`.

    For one thread, except what `Connection` lets others call.
    """

    def __init__(self) -> None:
        """Raises `NotReadyError` if there is no compositor, `DisplayLostError` if it does not answer."""
        self.connection = Connection()
        #: The outputs by the number under which the compositor announced them, in that order.
        self._outputs: dict[int, Output] = {}
        self._bound: dict[str, int] = {}
        # Announced before what gives their places.
        self._unplaced: list[Output] = []
        try:
            self._registry = self.connection.get_registry(self._on_registry)
            # The first brings what there is, the second what is asked about it then.
            self.connection.round_trip()
            self.connection.round_trip()
        except BaseException:
            self.connection.close()
            raise

    @property
    def gives_pictures(self) -> bool:
        """Whether the compositor gives programs pictures of its outputs."""
        return self._bound.keys() >= _NEEDED.keys()

    @property
    def shared_memory(self) -> int:
        """The object that makes pools of memory."""
        return self._bound[_SHARED_MEMORY]

    @property
    def pictures(self) -> int:
        """The object that gives pictures of outputs."""
        return self._bound[_PICTURES]

    def output(self, name: str) -> Output | None:
        """Return the output of this name; None if it is not connected or not on."""
        return next((each for each in self._outputs.values() if each.is_known and each.name == name), None)

    def screens(self) -> list[Screen]:
        """Return the outputs in the compositor's order. Wayland knows no primary one: the first one counts as such."""
        known = [each for each in self._outputs.values() if each.is_known]
        return [
            Screen(str(place + 1), each.name, each.area, place == 0, each.scale) for place, each in enumerate(known)
        ]

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self.connection.close()

    def _on_registry(self, code: int, arguments: bytes) -> None:
        (announced,) = struct.unpack_from("=I", arguments)
        if code == _REGISTRY_GLOBAL_REMOVE:
            self._outputs.pop(announced, None)
            return
        interface = text_of(arguments[4:])
        (version,) = struct.unpack_from("=I", arguments, len(arguments) - 4)
        if interface == _OUTPUT and version >= _OUTPUT_VERSION:
            self._add_output(announced)
        elif version >= _NEEDED.get(interface, version + 1):
            self._bound[interface] = self._bind(announced, interface, _NEEDED[interface])
            if interface == _PLACES:
                for output in self._unplaced:
                    self._ask_place(output)

    def _add_output(self, announced: int) -> None:
        output = Output(0)
        output.number = self._bind(announced, _OUTPUT, _OUTPUT_VERSION, output.on_output)
        self._outputs[announced] = output
        if _PLACES in self._bound:
            self._ask_place(output)
        else:
            self._unplaced.append(output)

    def _ask_place(self, output: Output) -> None:
        place = self.connection.new_id(output.on_place)
        self.connection.request(self._bound[_PLACES], _PLACES_GET, struct.pack("=II", place, output.number))

    def _bind(
        self,
        announced: int,
        interface: str,
        version: int,
        handler: Handler = lambda code, arguments: None,
    ) -> int:
        number = self.connection.new_id(handler)
        what = struct.pack("=I", announced) + as_text(interface) + struct.pack("=II", version, number)
        self.connection.request(self._registry, _REGISTRY_BIND, what)
        return number


def list_outputs() -> list[Screen]:
    """Return the outputs of the desktop; none if its compositor does not give programs their pictures."""
    try:
        with closing(Desktop()) as desktop:
            return desktop.screens() if desktop.gives_pictures else []
    except (NotReadyError, DisplayLostError):
        return []
