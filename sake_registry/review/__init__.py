"""What a change of the registry does: to its claims, its bundles, the model's answers."""
