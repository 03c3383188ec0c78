"""`python -m exporter.cli` is `export-mobile`."""

from exporter.cli import main

main()
