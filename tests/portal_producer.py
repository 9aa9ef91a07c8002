"""A program that delivers numbered pictures to PipeWire, as a desktop does, in the ways in which desktops differ.

It prints `node N`, then the number of each picture and when it was shown, in nanoseconds on the monotonic clock, with
`as commanded` if it answers a `draw`. Its standard input takes a command a line: `draw` the next picture or the last
one `again`, `run FPS`, `rest`, `size W H`, `hide` the cursor, and `move X Y` it, both without a picture.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import selectors
import struct
import sys
import time
from ctypes import c_uint32
from typing import Any, Final

import numpy as np
from numbered import HEIGHT, WIDTH, numbered

from capture.sources.portal import libpipewire as pw
from capture.sources.portal import pods
from capture.sources.portal.buffer import CURSOR_HEAD_BYTES, HEADER_BYTES, REGION_BYTES
from capture.sources.portal.stream import _Params

#: What is around the number.
GREY: Final = 90

#: The cursor: a square of one colour, its hot spot in the middle.
CURSOR_SIDE: Final = 16
CURSOR_HOT: Final = 8
CURSOR_BGRA: Final = (0, 0, 255, 255)

#: PW_STREAM_FLAG_DRIVER: it sets the pace itself. PW_STREAM_FLAG_ALLOC_BUFFERS and PW_STREAM_FLAG_MAP_BUFFERS: the
#: memory is its own, or PipeWire's.
_DRIVER: Final = 1 << 3
_ALLOC_BUFFERS: Final = 1 << 8
_MAP_BUFFERS: Final = 1 << 2
_OUTPUT: Final = 1

#: How often to look for a free buffer in a row, and when to look again.
_TRIES: Final = 8
_RETRY_S: Final = 0.01


class Producer:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._size = self._wanted = (options.width, options.height)
        self._next = options.first
        self._every_s: float | None = None
        self._due_s = 0.0
        self._cursor: tuple[int, int] | None = None
        self._streaming = self._is_known = False
        # What has to be sent as soon as there is a buffer: True for a picture, False for the cursor alone.
        self._waiting: bool | None = None
        self._is_commanded = False
        self._pending = ""
        self._memory: dict[int, mmap.mmap] = {}

    def run(self) -> None:
        lib = self._lib = pw.library()
        connect = lib.pw_context_connect
        connect.restype, connect.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        lib.pw_stream_get_node_id.restype, lib.pw_stream_get_node_id.argtypes = c_uint32, [ctypes.c_void_p]
        loop = lib.pw_main_loop_get_loop(lib.pw_main_loop_new(None))
        control = pw.LoopParts.from_address(loop).control.contents
        methods, data = pw.LoopMethods.from_address(control.methods), control.data
        methods.enter(data)
        core = connect(lib.pw_context_new(loop, None, 0), None, 0)
        name = f"{{ media.class=Video/Source node.name={self._options.name} }}".encode()
        self._stream = lib.pw_stream_new(core, b"desk", lib.pw_properties_new_string(name))
        events = pw.StreamEvents(
            version=0,
            state_changed=pw.OnState(self._on_state),
            param_changed=pw.OnParameter(self._on_parameter),
            add_buffer=pw.OnBuffer(self._on_new_buffer),
            remove_buffer=pw.OnBuffer(lambda _, address: self._memory.pop(address, None) and None),
        )
        hook = ctypes.create_string_buffer(pw.HOOK_BYTES)
        lib.pw_stream_add_listener(self._stream, ctypes.addressof(hook), ctypes.byref(events), None)
        offer = _Params([self._offer()])
        flags = _DRIVER | (_MAP_BUFFERS if self._options.shared_pool else _ALLOC_BUFFERS)
        lib.pw_stream_connect(self._stream, _OUTPUT, 0xFFFFFFFF, flags, offer.array, offer.count)
        with selectors.DefaultSelector() as selector:
            selector.register(methods.get_fd(data), selectors.EVENT_READ, "loop")
            selector.register(sys.stdin, selectors.EVENT_READ, "commands")
            while True:
                waits = self._every_s is not None or self._waiting is not None
                left_s = max(0.0, self._due_s - time.monotonic()) if waits else None
                for key, _ in selector.select(left_s):
                    if key.data == "loop":
                        methods.iterate(data, 0)
                    elif not self._obey():
                        return
                if self._waiting is not None and self._streaming:
                    self._draw() if self._waiting else self._send(picture=False)
                if self._every_s is not None and time.monotonic() >= self._due_s:
                    self._due_s = max(self._due_s + self._every_s, time.monotonic() - self._every_s)
                    self._draw()

    def _offer(self) -> bytes:
        return pods.video_formats(self._options.fps, size=self._wanted)

    def _on_state(self, _: Any, old: int, new: int, error: bytes | None) -> None:
        if old == 1 and not self._is_known:
            print("node", self._lib.pw_stream_get_node_id(self._stream), flush=True)
            self._is_known = True
        self._streaming = new == pw.STATE_STREAMING
        if self._streaming:
            self._waiting = None if self._options.still else True

    def _on_parameter(self, _: Any, number: int, address: int | None) -> None:
        if number != pods.PARAM_FORMAT or not address:
            return
        width, height = self._size = self._wanted
        if self._streaming:
            self._waiting = True
        requests = [
            pods.buffers((pw.DATA_DESCRIPTOR,), count=8, least=2, size_bytes=width * height * 4, stride=width * 4),
            pods.meta(pw.META_HEADER, HEADER_BYTES),
            pods.meta(pw.META_DAMAGE, 4 * REGION_BYTES),
            pods.meta(pw.META_CURSOR, CURSOR_HEAD_BYTES + CURSOR_SIDE * CURSOR_SIDE * 4),
        ]
        params = _Params(requests)
        self._lib.pw_stream_update_params(self._stream, params.array, params.count)

    def _on_new_buffer(self, _: Any, address: int) -> None:
        if self._options.shared_pool:
            return
        if sys.platform != "linux":
            raise OSError("memory without a name needs Linux")
        width, height = self._size
        size = width * height * 4
        descriptor = os.memfd_create("picture")
        os.ftruncate(descriptor, size)
        self._memory[address] = mmap.mmap(descriptor, size)
        data = pw.StreamBuffer.from_address(address).buffer.contents.datas[0]
        data.type, data.flags, data.fd, data.mapoffset, data.maxsize = pw.DATA_DESCRIPTOR, 1, descriptor, 0, size
        data.data = ctypes.addressof(ctypes.c_uint8.from_buffer(self._memory[address]))

    def _obey(self) -> bool:
        read = os.read(sys.stdin.fileno(), 4096).decode()
        *lines, self._pending = (self._pending + read).split("\n")
        for line in lines:
            word, *rest = line.split()
            numbers = [int(part) for part in rest]
            if word == "draw":
                self._is_commanded = True
                self._draw()
            elif word == "again":
                self._next = max(self._options.first, self._next - 1)
                self._draw()
            elif word == "run":
                self._every_s, self._due_s = 1 / numbers[0], time.monotonic()
            elif word == "rest":
                self._every_s = None
            elif word == "size":
                self._wanted = (numbers[0], numbers[1])
                params = _Params([self._offer()])
                self._lib.pw_stream_update_params(self._stream, params.array, params.count)
            elif word == "move":
                self._cursor = (numbers[0], numbers[1])
                self._send(picture=False)
            elif word == "hide":
                self._cursor = None
                self._send(picture=False)
        return bool(read)

    def _draw(self) -> None:
        if self._streaming and self._send(picture=True):
            self._next += 1

    def _send(self, *, picture: bool) -> bool:
        # A buffer that the other side still has in use yields none, and the next call another one.
        tries = (self._lib.pw_stream_dequeue_buffer(self._stream) for _ in range(_TRIES))
        address = next((found for found in tries if found), None)
        if address is None:
            self._waiting, self._due_s = picture, time.monotonic() + _RETRY_S
            return False
        self._waiting = None
        spa = pw.StreamBuffer.from_address(address).buffer.contents
        width, height = self._size
        now_ns = time.monotonic_ns()
        chunk = spa.datas[0].chunk.contents
        chunk.offset, chunk.flags = 0, 0
        fits: bool = spa.datas[0].maxsize == width * height * 4
        if picture and not fits:
            # It is one of the last size.
            self._waiting, self._due_s, picture = True, time.monotonic() + _RETRY_S, False
        chunk.size = width * height * 4 if picture else 0
        chunk.stride = width * 4 if picture and not self._options.no_stride else 0
        if picture:
            memory = (ctypes.c_uint8 * (width * height * 4)).from_address(spa.datas[0].data)
            pixels = np.frombuffer(memory, np.uint8).reshape(height, width, 4)
            pixels[...] = GREY
            pixels[:HEIGHT, :WIDTH] = numbered(self._next)
        for number in range(spa.n_metas):
            meta = spa.metas[number]
            if meta.type == pw.META_HEADER:
                pts = -1 if self._options.no_pts else now_ns
                ctypes.memmove(meta.data, struct.pack("=IIqqQ", 0, 0, pts, 0, 0), HEADER_BYTES)
            elif meta.type == pw.META_DAMAGE:
                ctypes.memmove(meta.data, self._damage(), 2 * REGION_BYTES)
            elif meta.type == pw.META_CURSOR:
                raw = self._cursor_meta()
                ctypes.memmove(meta.data, raw, len(raw))
        self._lib.pw_stream_queue_buffer(self._stream, address)
        if picture:
            print(self._next, now_ns, "as commanded" if self._is_commanded else "", flush=True)
            self._is_commanded = False
        return fits

    def _damage(self) -> bytes:
        whole, exact = (0, 0, *self._size), (0, 0, WIDTH, HEIGHT)
        region = {"whole": whole, "exact": exact, "none": (0, 0, 0, 0)}[self._options.damage]
        return struct.pack("=iiII", *region) + bytes(REGION_BYTES)

    def _cursor_meta(self) -> bytes:
        if self._cursor is None:
            return bytes(CURSOR_HEAD_BYTES)
        head = struct.pack("=IIiiiiI", 1, 0, *self._cursor, CURSOR_HOT, CURSOR_HOT, 28)
        bitmap = struct.pack("=IIIiI", 12, CURSOR_SIDE, CURSOR_SIDE, CURSOR_SIDE * 4, 20)
        return head + bitmap + bytes(CURSOR_BGRA) * CURSOR_SIDE * CURSOR_SIDE


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="desk-screen")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=float, default=60)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--no-pts", action="store_true")
    parser.add_argument("--no-stride", action="store_true")
    parser.add_argument("--shared-pool", action="store_true", help="in memory of PipeWire's, not its own")
    parser.add_argument("--still", action="store_true", help="send nothing until it is commanded")
    parser.add_argument("--damage", choices=("exact", "whole", "none"), default="exact")
    Producer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
