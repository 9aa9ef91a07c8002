"""Overlays drawn into recorded frames but on no screen: click rings and the keystroke strip.

`input_listener` reads keys and clicks and asks `password_prompts` what to hide; `overlays` draws. Imports
`sources.x11`; used by the screen and window sources.
"""
