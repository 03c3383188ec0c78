"""Tools around the exporter; those that share code run as `python -m scripts.NAME`."""
