"""The native bit kernels under sanitizers: no read or write beyond an array, nothing undefined."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "native"
COMPILER = shutil.which("g++")
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
FLAGS = {
    "bits_avx2": ["-mavx2"],
    "bits_avx512": [*AVX512, "-mavx512vbmi", "-mgfni"],
    "bits_vaes": [*AVX512, "-maes", "-mvaes"],
    "bits_portable": [],
    "bits_variants": [],
    "sanitize_bits": [],
}
SANITIZED = ["-std=c++20", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiler(*arguments):
    return subprocess.run([COMPILER, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="no g++ here")
def test_the_kernels_are_clean(tmp_path):
    probe = tmp_path / "probe.cpp"
    probe.write_text("int main() {}\n", encoding="utf-8")
    if compiler(*SANITIZED, str(probe), "-o", str(tmp_path / "probe")).returncode:
        pytest.skip("g++ lacks the sanitizers")
    x86 = "__x86_64__ 1" in compiler("-dM", "-E", str(probe)).stdout

    def compiled(name):
        source = (HERE if name.startswith("sanitize") else NATIVE) / f"{name}.cpp"
        target = tmp_path / f"{name}.o"
        flags = [*SANITIZED, "-Wno-psabi", f"-I{NATIVE}", *(FLAGS[name] if x86 else [])]
        result = compiler(*flags, "-c", str(source), "-o", str(target))
        assert result.returncode == 0, result.stderr
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, FLAGS))
    program = tmp_path / "sanitize_bits"
    result = compiler(*SANITIZED, *objects, "-o", str(program))
    assert result.returncode == 0, result.stderr
    result = subprocess.run([program], capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(result.stdout.split()[0]) >= 1
