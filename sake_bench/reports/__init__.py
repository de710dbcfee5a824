"""Tables and pictures of a benchmark run: no model, no torch."""
