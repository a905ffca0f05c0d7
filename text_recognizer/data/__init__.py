"""The data modules, and the files they read."""
