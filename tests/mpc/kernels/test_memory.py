"""Memory that is freed and kept: the second array of a size costs no new pages."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from stead.mpc.kernels.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
np.ones(1 << 23)  # 64 MiB, freed at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 23)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    kept, count = map(int, done.stdout.split())
    assert kept
    return count


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a rule of the GNU C library")
def test_a_second_array_takes_the_pages_of_the_first():
    assert 4 * faults("keep") < faults("as it is")
