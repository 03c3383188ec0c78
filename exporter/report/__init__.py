"""What a manifest says, as a table for the terminal and as a page.

- `rows.py`, `text.py`: columns, rows and figures as text, shared by both.
- `devices.py`, `findings.py`, `sweep.py`: the same for what was measured on devices.
- `table.py`, `bench.py`: the tables for the terminal.
- `charts.py`, `device_charts.py`: where the bars of the plots go.
- `html.py`: the page, from `report.html.j2` and `devices.html.j2`.
"""

from __future__ import annotations

from exporter.report.bench import render_bench
from exporter.report.html import render_html
from exporter.report.table import REPORT_NAME, render_table

__all__ = ["REPORT_NAME", "render_bench", "render_html", "render_table"]
