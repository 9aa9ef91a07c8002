"""A part of a picture in YUV 4:2:0, on its way from the thread that grabs it to the one that encodes it."""

from __future__ import annotations

from typing import Final, NamedTuple

import av

from capture.media import Rectangle
from capture.pixels.macroblocks import Planes

__all__ = ["LARGEST_COMPARED", "YuvPart"]

#: Largest part that is compared with what it replaces, in pixels. Typing redraws about a line; when more is redrawn,
#: most of it has usually changed, and comparing does not pay.
LARGEST_COMPARED: Final = 1 << 18


class YuvPart(NamedTuple):
    """What a part of a picture shows from now on: 1.5 bytes a pixel, where BGRX takes 4.

    `planes` are those of the part at `place`. If it is large, they lie in `frame`, a whole picture, at the same place:
    in the current one, which then has this part already, or in one whose other places have any content.
    """

    planes: Planes
    place: Rectangle
    frame: av.VideoFrame | None
