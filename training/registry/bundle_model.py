"""Models-from-code script of the registered model: FOR OFFLINE EVALUATION ONLY.

What this model returns is a probability without a decision. It implies no permission to contact anybody: consent,
opt-outs, approvals and every other rule are decided by `leadwell score`, `leadwell rescore` and the service, and
nothing downstream may act on the numbers from here. MLflow runs this file when it loads the model; nothing of
Leadwell imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from models.bundle import read_bundle

SEGMENT = "segment_id"


class BundleModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Readiness of a bundle over ready feature columns, for offline evaluation; implies no permission."""

    def load_context(self, context: Any) -> None:
        """Read the bundle, which checks its hashes before anything is parsed."""
        self._bundle = read_bundle(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Probability and interval per row; the columns are the bundle's features and, if known, `segment_id`."""
        readiness = self._bundle.readiness
        matrix = model_input[list(self._bundle.spec.names)].to_numpy(dtype=np.float64)
        order = {segment_id: row for row, segment_id in enumerate(readiness.segment_ids)}
        named = model_input[SEGMENT] if SEGMENT in model_input else [None] * len(model_input)
        scores = readiness.predict(matrix, np.array([order.get(str(name), -1) for name in named], dtype=np.int64))
        return pd.DataFrame({"probability": scores.probability, "lower": scores.lower, "upper": scores.upper})


mlflow.models.set_model(BundleModel())
