"""Finished files: what is in them, whether they are whole, and making them whole, louder, smaller or other.

`check` judges, `contents` and `structure` read, `repair` and `rewrite` mend, `transcode` converts; every rewrite goes
through `scratch`, so that the original stays until the new file is checked.
Imports the ground, `formats`, `codecs` and `output`; knows nothing of devices.
"""
