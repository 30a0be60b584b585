"""What deploy/ holds, read by what will read it."""
