"""The command line: a module for each family of verbs.

`main` parses the line with `parser`, imports the verb's module and runs it; `options` turns arguments into
`RecordSettings`, and `terminal` and `text` print. No recording logic lives here. Only `capture.__main__` imports this
package, and a verb imports what it needs when it runs.
"""
