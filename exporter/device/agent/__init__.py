"""Runs one artifact on a device: `python3 agent.pyz FOLDER` does what FOLDER/job.json says.

`exporter.device.pack` makes agent.pyz of the modules here and of the runtimes' engines. Of this
package nothing else is on the device, so they import each other (relatively), the standard library
and numpy alone. `exporter.device.job` describes job.json and what is written beside it, result.json
and outputs.npz.

Exit codes: 0 done; 1 the artifact or its inputs do not work, result.json says why in one sentence;
3 a bug, with its traceback on standard error.
"""

ENGINES = "engines"
"""Package of agent.pyz with one package for each format, which holds that runtime's engine."""
