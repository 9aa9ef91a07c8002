"""A stream of pictures, without PipeWire."""

from __future__ import annotations

import os
import sys
from typing import cast

import pytest

if sys.platform != "linux":
    pytest.skip("PipeWire needs Linux", allow_module_level=True)

from capture.sources.portal.shared_picture import SharedPicture
from capture.sources.portal.stream import PictureStream, Watch


def test_a_stream_that_is_being_destroyed_hears_nothing() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    stream = PictureStream(nothing, 0, SharedPicture(), max_fps=30, with_cursor=False, watch=cast(Watch, None))
    heard: list[int] = []
    call = stream._guarded(heard.append)
    # `pw_stream_destroy` still calls back for a buffer that arrived meanwhile.
    call(None, 1)
    stream._stream = 1
    call(None, 2)
    assert heard == [2]
    stream.close()
