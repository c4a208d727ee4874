"""What tests share: the shipped settings, and one small made world with a bundle trained on it."""

from __future__ import annotations

import os
import tempfile

# Before bentoml or mlflow is imported anywhere: no telemetry, own home, a folder for in-process metrics.
_HOME = tempfile.mkdtemp(prefix="leadwell-tests-")
os.environ.update(
    BENTOML_DO_NOT_TRACK="True",
    MLFLOW_DISABLE_TELEMETRY="true",
    BENTOML_HOME=_HOME,
    PROMETHEUS_MULTIPROC_DIR=_HOME,
    MPLBACKEND="Agg",
)
