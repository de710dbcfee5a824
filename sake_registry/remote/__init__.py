"""What lies elsewhere than the registry: pointers to bundles, and what production switched off."""
