"""The user's settings: `schema` names them and their bounds, `store` reads and changes the file.

`toml_edit` changes one key of a TOML text and leaves the rest as its author wrote it.
Imports `settings`, `parsing`, `output` and `triggers`; used by `cli`.
"""
