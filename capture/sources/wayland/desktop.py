"""The outputs of a Wayland desktop, and whether its compositor gives programs their pictures."""

from __future__ import annotations

import struct
from contextlib import closing
from enum import Enum
from typing import Final

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Rectangle
from capture.sources.x11.monitors import Screen
from capture.system.wayland_connection import NO_COMPOSITOR, Connection, Handler, as_text, text_of

__all__ = ["USUAL_REFRESH_S", "Desktop", "Interface", "Output", "list_outputs"]

#: How often most screens show a picture.
USUAL_REFRESH_S: Final = 1 / 60


class Interface(Enum):
    """What a compositor may offer, by its name in the protocols, with the version that is needed."""

    OUTPUT = "wl_output", 2
    SHARED_MEMORY = "wl_shm", 1
    #: The names and places of outputs.
    PLACES = "zxdg_output_manager_v1", 2
    #: Pictures of outputs, with what changed in them.
    SCREENCOPY = "zwlr_screencopy_manager_v1", 3
    #: Pictures of outputs and windows, with what changed in them.
    IMAGE_COPY = "ext_image_copy_capture_manager_v1", 1
    OUTPUT_SOURCES = "ext_output_image_capture_source_manager_v1", 1
    WINDOW_SOURCES = "ext_foreign_toplevel_image_capture_source_manager_v1", 1
    WINDOWS = "ext_foreign_toplevel_list_v1", 1
    SEAT = "wl_seat", 1
    #: Which window is active.
    WINDOW_STATES = "zwlr_foreign_toplevel_manager_v1", 1


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
    It shows a picture every `refresh_s`.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = ""
        self.area = Rectangle(0, 0, 0, 0)
        self.transform = 0
        self.mode = (0, 0)
        self.refresh_s = USUAL_REFRESH_S

    @property
    def is_known(self) -> bool:
        return bool(self.name and self.area.width and self.area.height)

    @property
    def scale(self) -> float:
        """How many pixels a unit of the desktop takes."""
        return self.mode[self.transform % 2] / self.area.width

    def on_output(self, code: int, arguments: bytes) -> None:
        if code == _OUTPUT_GEOMETRY:
            # It ends with the transform, after two strings.
            (self.transform,) = struct.unpack_from("=i", arguments, len(arguments) - 4)
        elif code == _OUTPUT_MODE:
            flags, width, height, refresh_mhz = struct.unpack_from("=Iiii", arguments)
            if flags & _CURRENT:
                self.mode = (width, height)
                self.refresh_s = 1000 / refresh_mhz if refresh_mhz > 0 else USUAL_REFRESH_S

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
        #: How often something has come, gone or changed: outputs, and what `note_change` is called for.
        self.changes = 0
        #: The outputs by the number under which the compositor announced them, in that order.
        self._outputs: dict[int, Output] = {}
        # What is offered, by the number under which it was announced, and the objects of what is used.
        self._offered: dict[Interface, int] = {}
        self._bound: dict[Interface, int] = {}
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

    def offers(self, *interfaces: Interface) -> bool:
        """Whether the compositor offers all of them."""
        return self._offered.keys() >= set(interfaces)

    @property
    def copies_outputs(self) -> bool:
        """Whether it gives pictures of outputs by ext-image-copy-capture."""
        return self.offers(Interface.IMAGE_COPY, Interface.OUTPUT_SOURCES)

    @property
    def gives_outputs(self) -> bool:
        """Whether the compositor gives programs pictures of its outputs."""
        has_pictures = self.copies_outputs or self.offers(Interface.SCREENCOPY)
        return has_pictures and self.offers(Interface.SHARED_MEMORY, Interface.PLACES)

    @property
    def gives_windows(self) -> bool:
        """Whether the compositor gives programs pictures of its windows."""
        return self.offers(Interface.IMAGE_COPY, Interface.WINDOW_SOURCES, Interface.WINDOWS, Interface.SHARED_MEMORY)

    def bound(self, interface: Interface, handler: Handler = lambda code, arguments: None) -> int:
        """Return the object of what is offered. `handler` gets its events, if this is the first time."""
        if interface not in self._bound:
            self._bound[interface] = self._bind(self._offered[interface], interface, handler)
        return self._bound[interface]

    @property
    def outputs(self) -> list[Output]:
        """The outputs that are connected and on, in the compositor's order."""
        return [each for each in self._outputs.values() if each.is_known]

    def screens(self) -> list[Screen]:
        """Return the outputs by their place, from the left. Wayland knows no primary one: that at the origin counts.

        Compositors announce them in an order of their own, which a screen that is plugged in changes.
        """
        known = sorted(self.outputs, key=lambda each: (each.area.left, each.area.top, each.name))
        origin = Rectangle(0, 0, 1, 1)
        main = next((place for place, each in enumerate(known) if each.area.contains(origin)), 0)
        return [
            Screen(str(place + 1), each.name, each.area, place == main, round(each.scale, 3))
            for place, each in enumerate(known)
        ]

    def note_change(self) -> None:
        """Count a change."""
        self.changes += 1

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self.connection.close()

    def _on_registry(self, code: int, arguments: bytes) -> None:
        self.note_change()
        (announced,) = struct.unpack_from("=I", arguments)
        if code == _REGISTRY_GLOBAL_REMOVE:
            self._outputs.pop(announced, None)
            return
        name = text_of(arguments[4:])
        (version,) = struct.unpack_from("=I", arguments, len(arguments) - 4)
        interface = next((each for each in Interface if each.value[0] == name and each.value[1] <= version), None)
        if interface is Interface.OUTPUT:
            self._add_output(announced)
        elif interface is not None:
            self._offered[interface] = announced
            if interface is Interface.PLACES:
                for output in self._unplaced:
                    self._ask_place(output)

    def _add_output(self, announced: int) -> None:
        output = Output(0)
        output.number = self._bind(announced, Interface.OUTPUT, self._counted(output.on_output))
        self._outputs[announced] = output
        if self.offers(Interface.PLACES):
            self._ask_place(output)
        else:
            self._unplaced.append(output)

    def _ask_place(self, output: Output) -> None:
        # First, because the numbers of objects have to come in their order.
        places = self.bound(Interface.PLACES)
        place = self.connection.new_id(self._counted(output.on_place))
        self.connection.request(places, _PLACES_GET, struct.pack("=II", place, output.number))

    def _counted(self, handler: Handler) -> Handler:
        def handle(code: int, arguments: bytes) -> None:
            handler(code, arguments)
            self.note_change()

        return handle

    def _bind(self, announced: int, interface: Interface, handler: Handler) -> int:
        number = self.connection.new_id(handler)
        name, version = interface.value
        what = struct.pack("=I", announced) + as_text(name) + struct.pack("=II", version, number)
        self.connection.request(self._registry, _REGISTRY_BIND, what)
        return number


def list_outputs() -> list[Screen]:
    """Return the outputs of the desktop; none if its compositor does not give programs their pictures.

    Raises `NotReadyError` if no compositor answers.
    """
    try:
        with closing(Desktop()) as desktop:
            return desktop.screens() if desktop.gives_outputs else []
    except DisplayLostError as error:
        raise NotReadyError(error.message, NO_COMPOSITOR) from error
