"""New edits: scaffolds that a domain expert completes."""
