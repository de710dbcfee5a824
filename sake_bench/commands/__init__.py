"""`sake bench`, `sake import`."""
