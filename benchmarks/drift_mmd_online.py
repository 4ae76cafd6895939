"""MMDDriftOnline of Alibi Detect over one stream, for ``benchmarks.drift_detectors``: run by the interpreter of an
environment that has it, since it needs an older numpy than the project. Nothing of the project is imported here.

    python drift_mmd_online.py STREAM.npz

The file holds ``known``, documents of the baseline, ``after``, all later ones in order, and ``window``. Prints the
places in ``after`` at which it found drift, as JSON.
"""

import json
import sys
from importlib import import_module
from typing import Any

import numpy as np

ERT = 500
"""Documents between two false alarms, on average."""
BOOTSTRAPS = 1_000
"""Samples of which the thresholds are the quantiles: at least twice ``ERT``, or there is no such quantile."""


def main() -> None:
    """Read the stream, print the places."""
    with np.load(sys.argv[1]) as stream:
        known, after, window = stream["known"], stream["after"], int(stream["window"])
    detector: Any = import_module("alibi_detect.cd").MMDDriftOnline(
        known, ert=ERT, window_size=window, n_bootstraps=BOOTSTRAPS, verbose=False
    )
    found = []
    for place, vector in enumerate(after):
        if detector.predict(vector)["data"]["is_drift"]:
            found.append(place)
            # After an alarm a new window is filled.
            detector.reset_state()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
