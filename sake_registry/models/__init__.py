"""From a model's name to a loaded, identified model, and the site where it is steered."""
