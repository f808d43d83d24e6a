"""The command line `chronoprof`: one module per command or group of commands.

A command module has `add_parser(subparsers)`, which sets `run=`, a function from the parsed arguments to the exit code.
"""
