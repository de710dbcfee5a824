"""Measuring editing methods on the field's data sets: `sake bench`, `sake import`.

The product (`sake_registry`) imports nothing of it.
"""
