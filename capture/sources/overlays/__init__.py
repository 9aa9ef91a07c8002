"""What is drawn over recorded frames and is on no screen: click rings and the keystroke strip.

`input_listener` hears keys and clicks and asks `password_prompts` what must not be shown; `overlays` draws.
Imports `sources.x11`; used by the screen and window sources.
"""
