"""The HDF5 bundle: one writer, one strict reader. docs/bundle.md describes the format."""
