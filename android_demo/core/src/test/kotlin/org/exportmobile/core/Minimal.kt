package org.exportmobile.core

/** A manifest with no more in it than it needs. */
val MINIMAL =
    """
    {
      "schema_version": 2,
      "name": "m",
      "created": "2026-11-21T15:50:55.270288Z",
      "seconds": 1.0,
      "source": {"target": "m.pt", "kind": "TorchScript", "reference_bytes": 9},
      "signature": {
        "inputs": [{"name": "x", "shape": [1, 2], "dtype": "int64"}],
        "outputs": [{"name": "y", "shape": [1, 3], "dtype": "float32"}]
      },
      "evidence": "evaluation data",
      "evaluation": {"origin": "e.npz", "samples": 64, "random": false, "labelled": false},
      "preprocessing": null,
      "tools": {},
      "golden": null,
      "artifacts": [
        {
          "format": "onnx",
          "precision": "fp32",
          "scheme": "float",
          "verdict": "pass",
          "file": "m.onnx",
          "bytes": 9,
          "sha256": "${"ab".repeat(32)}",
          "sidecars": {},
          "parity": {"samples": 8, "max_abs": 0.5, "cosine": 1.0, "sqnr_db": 70}
        }
      ]
    }
    """.trimIndent()
