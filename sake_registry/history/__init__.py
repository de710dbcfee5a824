"""Git: what the edits were, who changed them and why, and how a change is taken back."""
