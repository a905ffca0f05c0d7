"""The networks, and how the answers of a line network become text."""
