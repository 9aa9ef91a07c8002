"""The screen of a Wayland desktop: its portal asks the user what may be recorded, and PipeWire brings the pictures.

`source` is the frame source. `screencast` talks to the portal, `stream` to PipeWire, on a thread of its own.
"""
