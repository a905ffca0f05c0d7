"""Training with Lightning, and checkpoints."""
