"""The one place that puts the stations in sequence.

- `export.py`: the whole job, in the parent process.
- `build.py`: one artifact, in a worker process of its own.
- `workers.py`: worker processes; a crash in a toolchain or runtime costs one artifact, not the run.
- `latency.py`: side-by-side timing of what was made.
- `verify.py`: re-checks an output folder.
- `output.py`: writes aside and moves into place.
"""
