"""MMDDriftOnline of Alibi Detect over one stream, for ``benchmarks.drift_detectors``: run by the interpreter of an
environment that has it, since it needs an older numpy than the project. Nothing of the project is imported here.

    python drift_mmd_online.py STREAM.npz

The file holds ``known``, documents of the baseline, ``after``, all later ones in order, ``window``, and ``ert``,
the documents between two false alarms on average. Prints the places in ``after`` at which it found drift, as JSON.
"""

import json
import sys
from importlib import import_module
from typing import Any

import numpy as np

FEWEST_BOOTSTRAPS, PER_ERT = 1_000, 2
"""Samples of which the thresholds are the quantiles: at least twice ``ert``, or there is no such quantile."""
SEED = 1


def main() -> None:
    """Read the stream, print the places."""
    with np.load(sys.argv[1]) as stream:
        known, after = stream["known"], stream["after"]
        window, ert = int(stream["window"]), int(stream["ert"])
    # Both the bootstrap and the first window are drawn.
    import_module("tensorflow").random.set_seed(SEED)
    detector: Any = import_module("alibi_detect.cd").MMDDriftOnline(
        known, ert=ert, window_size=window, n_bootstraps=max(FEWEST_BOOTSTRAPS, PER_ERT * ert), verbose=False
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
