"""Tables and pictures of a benchmark run, from plain values: no model, no torch, no plotting."""
