"""The heart: what is known about each member, and what is judged of it. No I/O and no clock."""
