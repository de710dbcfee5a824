"""Edits as files: schema, reading with positions, writing, keys, checks, the registry folder.

No torch here: everything in this room runs with the base install.
"""
