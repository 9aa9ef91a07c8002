"""The command line: a module for each family of verbs.

`main` parses the line with `parser`, imports the verb's module and runs it; `options` turns the words into
`RecordSettings`, and `terminal` and `text` print. No recording logic lives here. Nothing imports this package but
`capture.__main__`, and a verb imports what it needs only when it runs.
"""
