"""The native products under sanitizers: no read or write beyond an array, nothing undefined, no race."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "native"
COMPILER = shutil.which("g++")
FLAGS = {
    "ring_avx2": ["-mavx2"],
    "ring_avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl"],
    "ring_portable": [],
    "ring_product": [],
    "ring_convolution": [],
    "sanitize_ring": [],
}
X86 = "__x86_64__"


def compiler(*arguments):
    return subprocess.run([COMPILER, *arguments], capture_output=True, text=True, check=False)


def built(directory, sanitizer):
    """The driver with all kernels, built with a sanitizer; the test is skipped where g++ lacks it."""
    if COMPILER is None:
        pytest.skip("no g++ here")
    probe = directory / "probe.cpp"
    probe.write_text("int main() {}\n", encoding="utf-8")
    if compiler(f"-fsanitize={sanitizer}", str(probe), "-o", str(directory / "probe")).returncode:
        pytest.skip(f"g++ lacks -fsanitize={sanitizer}")
    x86 = f"{X86} 1" in compiler("-dM", "-E", str(probe)).stdout
    common = ["-std=c++20", "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", f"-I{NATIVE}"]

    def compiled(name):
        source = (HERE if name.startswith("sanitize") else NATIVE) / f"{name}.cpp"
        target = directory / f"{name}.o"
        result = compiler(*common, *(FLAGS[name] if x86 else []), "-c", str(source), "-o", str(target))
        assert result.returncode == 0, result.stderr
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, FLAGS))
    program = directory / "sanitize_ring"
    result = compiler(*common, *objects, "-pthread", "-o", str(program))
    assert result.returncode == 0, result.stderr
    return program


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the driver maps guarded pages as Linux does")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_kernels_are_clean(tmp_path, sanitizer):
    program = built(tmp_path, sanitizer)
    result = subprocess.run([program], capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    checked = int(result.stdout.split()[0])
    assert checked >= 2
    assert checked % 2 == 0
