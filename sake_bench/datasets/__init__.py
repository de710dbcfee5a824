"""Benchmark data sets: from their authors' formats to records, from records to edit files."""
