"""export-mobile: one PyTorch model in, verified mobile artifacts out."""

__version__ = "0.1.0"
