"""Files: fetched, unpacked, and written whole or not at all."""
