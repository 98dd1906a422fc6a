"""Trained weights -> torch module -> ONNX -> engine -> parity -> repository entry."""
