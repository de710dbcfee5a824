"""A registry as pages to be looked at in a browser: every edit, what it does and how it stands."""
