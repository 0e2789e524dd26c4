"""Programs on shares for tests: arrays go in and come out, whatever the protocol."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from stead.core.entropy import SeededEntropy
from stead.mpc.array import SecretArray
from stead.mpc.session import LocalSession

ROOT = Path(__file__).parents[2]


def module(path):
    """Another test file or script of this repository, loaded once."""
    name = f"loaded_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def session(kind):
    """All parties in this process, from a seed."""
    return LocalSession(kind, entropy=SeededEntropy(11))


def run(where, program, arrays, secret=None, way=None):
    """Run a Program; inputs that ``secret`` does not name by place are public."""
    places = range(len(arrays)) if secret is None else secret
    given = [where.share(array) if at in places else array for at, array in enumerate(arrays)]
    return [out.reveal() if isinstance(out, SecretArray) else out for out in where.run(program, given, way)]


def near(found, wanted, tolerance=1e-3):
    """Numbers within a tolerance, whole numbers and truths exactly; what reads nothing reads 0."""
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(found, np.nan_to_num(wanted, nan=0.0), rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(found, wanted)
