"""An edit's distributions (3.2.1): its prompts in their contexts, and their activations."""
