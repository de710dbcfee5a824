"""What the method knows of language as data: questions, names, lead-ins, explanations."""
