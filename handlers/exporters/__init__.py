"""One file a format: records in, bytes out, piece by piece."""
