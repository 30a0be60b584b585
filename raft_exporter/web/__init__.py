"""The HTTP face: read-only views of the table."""
