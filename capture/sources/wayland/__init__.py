"""The screens of a Wayland desktop whose compositor gives them to programs without a dialog, by wlr-screencopy.

`source` is the frame source. `desktop` knows the outputs, `output_capture` asks for their pictures. All of it runs on
the thread that grabs.
"""
