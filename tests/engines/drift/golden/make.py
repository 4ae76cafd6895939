"""Makes ``figures.json``: what scipy, Evidently and Alibi Detect say of the samples.

The packages need versions of numpy and pandas that the project does not, so each runs in an environment of its own
and adds its part to the file:

    python -m venv venv-evidently && venv-evidently/bin/pip install 'evidently==0.7.*' 'pandas<3'
    python -m venv venv-alibi && venv-alibi/bin/pip install alibi-detect==0.13.0 'tensorflow-cpu<2.16' \
        'tensorflow-probability<0.24'
    venv-evidently/bin/python -m tests.engines.drift.golden.make scipy evidently
    venv-alibi/bin/python -m tests.engines.drift.golden.make alibi_detect
"""

import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.engines.drift.golden.samples import CATEGORIES, MANY_NUMBERS, NUMBERS, VECTORS

FIGURES = Path(__file__).with_name("figures.json")
BANDWIDTHS = {"same": 0.954, "shifted": 1.0, "wider": 1.2, "skewed": 1.0}
"""Of the kernel on numbers, as given to Alibi Detect."""


def scipy() -> dict[str, Any]:
    from scipy.stats import ks_2samp, wasserstein_distance

    return {
        "ks": {case: float(ks_2samp(*pair).statistic) for case, pair in NUMBERS.items()},
        "wasserstein": {case: float(wasserstein_distance(*pair)) for case, pair in NUMBERS.items()},
    }


def evidently() -> dict[str, Any]:
    series = import_module("pandas").Series
    registry = import_module("evidently.legacy.calculations.stattests.registry")
    kinds = import_module("evidently.legacy.core").ColumnType

    def score(test: str, kind: Any, pair: Any) -> float:
        baseline, current = (series(part) for part in pair)
        found = registry.get_stattest(baseline, current, kind, test)
        return float(found.func(baseline, current, kind, 0.1)[0])

    numerical, categorical = kinds.Numerical, kinds.Categorical
    return {
        "psi of categories": {case: score("psi", categorical, pair) for case, pair in CATEGORIES.items()},
        "js of categories": {case: score("jensenshannon", categorical, pair) for case, pair in CATEGORIES.items()},
        "psi": {case: score("psi", numerical, pair) for case, pair in MANY_NUMBERS.items()},
        "js": {case: score("jensenshannon", numerical, pair) for case, pair in MANY_NUMBERS.items()},
        "wasserstein / deviation of the baseline": {
            case: score("wasserstein", numerical, pair) for case, pair in NUMBERS.items()
        },
    }


def alibi_detect() -> dict[str, Any]:
    detectors = import_module("alibi_detect.cd")

    def mmd(pair: Any, bandwidth: float) -> float:
        baseline, current = (np.asarray(part, dtype=np.float32).reshape(len(part), -1) for part in pair)
        sigma = np.array([bandwidth], dtype=np.float32)
        test = detectors.MMDDrift(baseline, sigma=sigma, configure_kernel_from_x_ref=False, n_permutations=1)
        return float(test.predict(current)["data"]["distance"])

    def ks(pair: Any) -> float:
        baseline, current = (np.asarray(part).reshape(-1, 1) for part in pair)
        return float(detectors.KSDrift(baseline).predict(current)["data"]["distance"][0])

    return {
        "ks": {case: ks(pair) for case, pair in NUMBERS.items()},
        "mmd": {case: mmd(pair, BANDWIDTHS[case]) for case, pair in NUMBERS.items()},
        "mmd of vectors": {case: mmd(pair, 1.0) for case, pair in VECTORS.items()},
    }


def main(names: list[str]) -> None:
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for name in names:
        made = {"scipy": scipy, "evidently": evidently, "alibi_detect": alibi_detect}[name]()
        figures[name] = {"version": version(name.replace("_", "-")), **made}
    FIGURES.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
