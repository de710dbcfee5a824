"""Bundles in production: the HTTP server, and the plugin of vLLM."""
