"""Compiling: what would be done and why (plan), doing it (build), one bundle of it (assemble)."""
