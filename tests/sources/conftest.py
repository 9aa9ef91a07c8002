"""The stage that tests of the sources draw on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from stage import BLACK, Stage

from capture.sources import screen_source
from capture.virtual.desk import VirtualDesk


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    in_process_desk: VirtualDesk,
    desk_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """The stage on the desk, with this process on the desk too. No whole grab repairs a change that was missed.

    A module chooses the start with `pytestmark = pytest.mark.stage(...)`: `ground` is the colour of the stage, black by
    default, and `pointer` the place of the cursor, which otherwise stays where it is.
    """
    marker = request.node.get_closest_marker("stage")
    start = {} if marker is None else marker.kwargs
    monkeypatch.setattr(screen_source, "WHOLE_EVERY_S", math.inf)
    with Stage(desk_environment) as opened:
        if (ground := start.get("ground", BLACK)) != BLACK:
            opened.paint(0, 0, opened.width, opened.height, ground)
        if "pointer" in start:
            opened.point_at(*start["pointer"])
        yield opened
