"""What to record, and what to save of it: every value is checked where it is set.

`record_settings` holds the fields of a recording, `bounds` what each may be, `audio_tracks` the tracks and their
sources, `clip_order` what is wanted of a replay buffer. Imports the ground, `formats`, `output`, `remote` and
`triggers`; the parsers use the same bounds.
"""
