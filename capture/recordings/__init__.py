"""Finished recordings: checks, repairs, cuts, normalises and converts files that were closed or cut off.

`headers` holds the sizes and counts of a file against bounds. `check` says what is wrong with it, from what `structure`
and `contents` read. `repair` mends it, `loudness` and `gain` change its volume; both go through `rewrite`, which
replaces a file only after checking the new one and builds it in `scratch`. `transcode` converts and shrinks, with
`reencode`, `animation` and `size_limit`, for clips and for `export`, whose `presets` say what others take.
Imports the ground, `formats`, `codecs` and `output`; knows nothing of devices.
"""
