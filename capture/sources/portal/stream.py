"""A stream of pictures from PipeWire, read on a thread of its own.

The thread copies what changed and gives every buffer back at once. A buffer that is kept stays marked as busy: when its
turn comes, the producer gets none and leaves the picture out, which on a screen that then rests is the last one.

PipeWire before 1.6 keeps returned buffers in a queue, from which it removes one a picture, and drops a picture that
comes in one of them: on a busy machine, where the thread is late or pictures are replaced on their way, even the last
one before the screen rests. So the thread also looks itself whether a buffer has a newer picture.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from typing import Any, Final, Protocol

from capture.errors import DisplayLostError, NotReadyError
from capture.sources.portal import pods
from capture.sources.portal.buffer import CURSOR_HEAD_BYTES, HEADER_BYTES, REGION_BYTES, Buffer
from capture.sources.portal.libpipewire import (
    DATA_DESCRIPTOR,
    DATA_POINTER,
    DIRECTION_INPUT,
    FLAG_AUTOCONNECT,
    FLAG_DONT_RECONNECT,
    HOOK_BYTES,
    META_CURSOR,
    META_DAMAGE,
    META_HEADER,
    STATE_ERROR,
    STATE_PAUSED,
    STATE_STREAMING,
    STATE_UNCONNECTED,
    LoopMethods,
    LoopParts,
    OnBuffer,
    OnParameter,
    OnProcess,
    OnState,
    StreamEvents,
    library,
)
from capture.sources.portal.pods import VideoFormat
from capture.sources.portal.shared_picture import SharedPicture
from capture.threads.worker import Worker

__all__ = ["PictureStream", "Watch"]

#: How many buffers to ask for, and the fewest that will do. With two, as wlroots gives by default, a stream stops when
#: one of them comes back late.
_BUFFERS: Final = 6
_FEWEST_BUFFERS: Final = 4

#: How many damaged regions are read, and the sides of a cursor's picture.
_REGIONS: Final = 16
_CURSOR_SIDES: Final = (64, 1, 384)

#: A producer that negotiates again, as for a new size, pauses for a moment. One that is gone stays paused.
PAUSED_LIMIT_S: Final = 2.0

#: How long after the end of its pictures the desktop may take to say that the user ended the sharing. GNOME 51 takes
#: some hundredths of a second.
REASON_LIMIT_S: Final = 0.3

#: How long after a picture to look for one that PipeWire has dropped, and how often on a screen that rests.
_LOOK_S: Final = 0.05
_LONGEST_LOOK_S: Final = 0.8

#: How long `close` waits for the thread, which is a daemon.
_CLOSE_LIMIT_S: Final = 2.0

#: WirePlumber must not connect the stream to anything else, such as a camera, when its target is gone.
_PROPERTIES: Final = (
    b"{ media.type=Video media.category=Capture media.role=Screen node.name=capture"
    b" node.dont-reconnect=true node.dont-fallback=true }"
)


_NO_SCREEN: Final = "the desktop no longer sends the screen"


class Watch(Protocol):
    """Something else that the thread waits for."""

    def fileno(self) -> int: ...

    def attend(self) -> bool:
        """Handle what has arrived. Return False once nothing more is of interest, which counts as a change."""
        ...


class PictureStream:
    """Keeps `picture` as a node of PipeWire shows it.

    `descriptor` is a connection to PipeWire, which the stream closes. Any thread may call the methods.
    """

    def __init__(
        self,
        descriptor: int,
        node: int,
        picture: SharedPicture,
        *,
        max_fps: float,
        with_cursor: bool,
        watch: Watch,
    ) -> None:
        self._descriptor = descriptor
        self._node = node
        self._picture = picture
        self._max_fps = max_fps
        self._with_cursor = with_cursor
        self._watch = watch
        self._worker = Worker("portal", self._run)
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._layout: VideoFormat | None = None
        self._started = self._closing = False
        # For the stream's thread alone.
        self._lib: Any = None
        self._stream: int | None = None
        self._buffers: dict[int, Buffer] = {}
        self._stride_known = False
        # When the newest picture was shown that was taken, and the one that was found at the last look; when to look
        # again.
        self._newest_s = self._found_at_s = 0.0
        self._look_in_s = _LOOK_S
        self._paused_at_s: float | None = None
        self._ended = ""
        self._failure: Exception | None = None

    def start(self) -> None:
        self._started = True
        self._worker.start()

    @property
    def layout(self) -> VideoFormat | None:
        """The format of the pictures; None until it is agreed on."""
        return self._layout

    def close(self) -> None:
        """End the thread and disconnect; may be called twice."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._wake_in.send(b"x")
        self._worker.join(_CLOSE_LIMIT_S)
        if not self._started:
            # The thread did not take it over.
            os.close(self._descriptor)
            self._started = True
        elif not self._worker.has_ended:
            return
        self._wake_in.close()
        self._wake_out.close()

    # The stream's thread

    def _run(self) -> None:
        error: Exception = DisplayLostError("the stream was closed")
        try:
            with self._connected() as (fileno, iterate):
                self._serve(fileno, iterate)
            if self._ended:
                error = DisplayLostError(self._ended)
        except Exception as failure:
            error = failure
        finally:
            self._picture.fail(error)

    def _serve(self, fileno: int, iterate: Callable[[], object]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(fileno, selectors.EVENT_READ)
            selector.register(self._wake_out, selectors.EVENT_READ)
            selector.register(self._watch, selectors.EVENT_READ)
            is_watched = True
            while not self._closing and not self._ended:
                left_s = self._look_in_s
                if self._paused_at_s is not None:
                    left_s = min(left_s, self._paused_at_s + PAUSED_LIMIT_S - time.monotonic())
                if left_s <= 0:
                    self._ended = _NO_SCREEN
                    break
                events = selector.select(left_s)
                if not events:
                    self._look_for_dropped()
                for key, _ in events:
                    if key.fileobj is self._watch:
                        if not self._watch.attend():
                            selector.unregister(self._watch)
                            is_watched = False
                            self._picture.notify()
                    elif key.fileobj is self._wake_out:
                        with contextlib.suppress(BlockingIOError):
                            self._wake_out.recv(64)
                    else:
                        iterate()
                if self._failure is not None:
                    raise self._failure
        # If PipeWire is gone, the desktop may end the session for that reason.
        if self._ended == _NO_SCREEN and is_watched:
            self._hear_the_reason()

    def _hear_the_reason(self) -> None:
        """Wait for a moment whether the desktop says why there are no more pictures."""
        until_s = time.monotonic() + REASON_LIMIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._watch, selectors.EVENT_READ)
            while not self._closing and (left_s := until_s - time.monotonic()) > 0:
                if selector.select(left_s) and not self._watch.attend():
                    return

    @contextlib.contextmanager
    def _connected(self) -> Iterator[tuple[int, Callable[[], object]]]:
        """Connect the stream; yield the descriptor of its loop, and what handles the loop's events without waiting."""
        lib = self._lib = library()
        with contextlib.ExitStack() as opened:
            owner = lib.pw_main_loop_new(None)
            opened.callback(lib.pw_main_loop_destroy, owner)
            loop = lib.pw_main_loop_get_loop(owner)
            control = LoopParts.from_address(loop).control.contents
            methods, data = LoopMethods.from_address(control.methods), control.data
            methods.enter(data)
            opened.callback(methods.leave, data)
            context = lib.pw_context_new(loop, None, 0)
            opened.callback(lib.pw_context_destroy, context)
            # It closes the descriptor.
            core = lib.pw_context_connect_fd(context, self._descriptor, None, 0)
            if not core:
                raise NotReadyError(
                    "PipeWire does not answer", "restart it with systemctl --user restart pipewire wireplumber"
                )
            opened.callback(lib.pw_core_disconnect, core)
            stream = self._stream = lib.pw_stream_new(core, b"capture", lib.pw_properties_new_string(_PROPERTIES))
            opened.callback(self._destroy)
            events = StreamEvents(
                version=0,
                state_changed=OnState(self._guarded(self._on_state)),
                param_changed=OnParameter(self._guarded(self._on_parameter)),
                add_buffer=OnBuffer(self._guarded(self._on_new_buffer)),
                remove_buffer=OnBuffer(self._guarded(self._on_old_buffer)),
                process=OnProcess(self._guarded(self._on_process)),
            )
            hook = ctypes.create_string_buffer(HOOK_BYTES)
            lib.pw_stream_add_listener(stream, ctypes.addressof(hook), ctypes.byref(events), None)
            offer = _Params([pods.video_formats(self._max_fps)])
            flags = FLAG_AUTOCONNECT | FLAG_DONT_RECONNECT
            if lib.pw_stream_connect(stream, DIRECTION_INPUT, self._node, flags, offer.array, offer.count) < 0:
                raise NotReadyError("PipeWire refuses the stream of the screen", "see capture doctor")
            yield methods.get_fd(data), lambda: methods.iterate(data, 0)

    def _destroy(self) -> None:
        stream, self._stream = self._stream, None
        self._lib.pw_stream_destroy(stream)
        self._buffers.clear()

    def _guarded(self, act: Callable[..., None]) -> Callable[..., None]:
        """Keep an exception of a callback: it cannot pass through the library."""

        def call(_: int | None, *arguments: Any) -> None:
            if self._stream is None:
                # It is being destroyed, which still calls back. Without a stream, the library would crash.
                return
            try:
                act(*arguments)
            except Exception as error:
                self._failure = self._failure or error

        return call

    def _on_state(self, old: int, new: int, error: bytes | None) -> None:
        if new in (STATE_ERROR, STATE_UNCONNECTED):
            why = (error or b"").decode(errors="replace")
            self._ended = f"the connection to PipeWire ended ({why})" if why else _NO_SCREEN
        self._paused_at_s = time.monotonic() if (old, new) == (STATE_STREAMING, STATE_PAUSED) else None

    def _on_parameter(self, number: int, address: int | None) -> None:
        if number != pods.PARAM_FORMAT or not address:
            return
        length = ctypes.c_uint32.from_address(address).value
        layout = pods.read_format(ctypes.string_at(address, 8 + length))
        if layout is None:
            raise NotReadyError("the desktop sends pictures in an unknown format", "see capture doctor")
        requests = [
            pods.buffers((DATA_DESCRIPTOR, DATA_POINTER), count=_BUFFERS, least=_FEWEST_BUFFERS),
            pods.meta(META_HEADER, HEADER_BYTES),
            pods.meta(META_DAMAGE, _REGIONS * REGION_BYTES, REGION_BYTES, 4 * _REGIONS * REGION_BYTES),
        ]
        if self._with_cursor:
            requests.append(pods.meta(META_CURSOR, *map(_cursor_bytes, _CURSOR_SIDES)))
        params = _Params(requests)
        self._lib.pw_stream_update_params(self._stream, params.array, params.count)
        if layout != self._layout:
            # PipeWire may state the same format twice; the picture stays right then.
            self._layout = layout
            self._picture.clear()

    def _on_new_buffer(self, address: int) -> None:
        self._buffers[address] = Buffer(address)

    def _on_old_buffer(self, address: int) -> None:
        self._buffers.pop(address, None)

    def _on_process(self) -> None:
        taken: list[int] = []
        while address := self._lib.pw_stream_dequeue_buffer(self._stream):
            taken.append(address)
        try:
            for address in taken:
                self._take_over(address)
        finally:
            for address in taken:
                self._lib.pw_stream_queue_buffer(self._stream, address)
        self._look_in_s = _LOOK_S

    def _take_over(self, address: int) -> None:
        buffer, layout = self._buffers.get(address), self._layout
        if buffer is None or layout is None:
            return
        content = buffer.read(layout, stride_known=self._stride_known)
        self._stride_known |= content.pixels is not None and buffer.stride != 0
        before_s, shown_at_s = self._newest_s, content.shown_at_s or 0.0
        if any(before_s < (each.shown_at_s or 0.0) < shown_at_s for each in self._buffers.values()):
            # What changed counts from a picture that was dropped.
            content = content._replace(damage=None)
        self._newest_s = max(before_s, shown_at_s)
        self._picture.update(content, is_rgb=layout.is_rgb)

    def _look_for_dropped(self) -> None:
        """Take the newest picture if PipeWire has dropped it. Pictures without a time are not found."""
        found = ((buffer.shown_at_s or 0.0, address) for address, buffer in self._buffers.items())
        shown_at_s, address = max(found, default=(0.0, 0))
        if shown_at_s <= self._newest_s:
            self._look_in_s = min(2 * self._look_in_s, _LONGEST_LOOK_S)
            return
        # At the first sight, it may not be complete.
        if shown_at_s == self._found_at_s:
            self._take_over(address)
        self._found_at_s, self._look_in_s = shown_at_s, _LOOK_S


class _Params:
    """PODs in memory, as the library takes them."""

    def __init__(self, found: Sequence[bytes]) -> None:
        self._kept = [ctypes.create_string_buffer(pod, len(pod)) for pod in found]
        self.count = len(found)
        self.array = (Pointer * self.count)(*map(ctypes.addressof, self._kept))


def _cursor_bytes(side: int) -> int:
    return CURSOR_HEAD_BYTES + side * side * pods.BYTES_PER_PIXEL
