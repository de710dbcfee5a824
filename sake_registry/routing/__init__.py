"""Scope (3.2.3): which edit, if any, a prompt is in scope of, and why."""
