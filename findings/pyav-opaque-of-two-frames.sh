#!/usr/bin/env bash
# In PyAV 18.1.0, frames or packets that got the same object as `opaque` lose it when the first of them is freed.
#
# PyAV keeps such objects in one table by their address, and removes an entry with the first frame that goes, though
# others still refer to it. So a string, a number or an enumeration that marks each frame of a source reads as None from
# then on, depending on what is freed when. Give each frame an object of its own. PyAV 19.0.0 counts.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/opaque.py" <<'PYTHON'
import av


def marks(same: bool) -> tuple[object, object]:
    """Return what the second of two marked frames has while the first one exists, and afterwards."""
    mark = ["camera"]
    first, second = av.VideoFrame(64, 64, "gray"), av.VideoFrame(64, 64, "gray")
    first.opaque, second.opaque = mark, mark if same else list(mark)
    before = second.opaque
    del first
    return before, second.opaque


print("PyAV", av.__version__)
print(f"the second frame's mark, before and after the first frame goes: {marks(True)}, of its own: {marks(False)}")
assert marks(True) == (["camera"], None if av.__version__ == "18.1.0" else ["camera"])
assert marks(False) == (["camera"], ["camera"])
PYTHON
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" "$folder/opaque.py"
done
