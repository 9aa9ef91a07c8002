"""Words in recordings: a speech model turns sound into text and subtitles, on this machine.

The library is an optional part of the installation, and the model is a file that the user names.
"""
