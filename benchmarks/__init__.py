"""What the bundle costs in time and memory; each script proves its outputs before it measures."""
