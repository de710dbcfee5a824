"""A bundle on a live model: decisions and maps, without edits, git, or the compiler."""
