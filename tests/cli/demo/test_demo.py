"""The demonstration as a newcomer meets it: real processes, real rows, real HTTPS."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the demonstration trains with torch (extra: torch)")
pytest.importorskip("sksurv", reason="the demonstration's patients come with scikit-survival (extra: demo)")

STEAD = [sys.executable, "-m", "stead.cli.main"]


def processes_naming(text):
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if text.encode() in words:
            found.append(int(entry.parent.name))
    return found


@pytest.fixture
def place(tmp_path):
    """An environment whose temporary files are ours to count."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    yield temporary, {**os.environ, "TMPDIR": str(temporary), "HOME": str(tmp_path)}
    for process in processes_naming(str(temporary)):
        os.kill(process, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_demo_tells_its_findings_and_leaves_the_hospitals_up_only_when_asked(place, tmp_path):
    temporary, environment = place
    report = tmp_path / "report.html"
    command = [*STEAD, "demo", "--json", "--keep", "--report", str(report)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=270)
    assert done.returncode == 0, done.stderr

    found = json.loads(done.stdout)
    assert set(found) == {
        "sites", "rows", "auc", "epsilon", "delta", "bytes", "seconds", "logs_verified", "refused", "answers",
    }  # fmt: skip
    assert found["sites"] == 3
    assert len(set(found["rows"])) == 3  # split unevenly
    assert sum(found["rows"]) == 6299  # 7,874 people, a fifth of them held out
    auc = found["auc"]
    assert len(auc["alone"]) == 3
    assert auc["federated"] > auc["central"] - 0.01
    assert auc["private"] > auc["central"] - 0.03
    assert 0.75 < auc["central"] < 0.9
    assert all(4.0 <= epsilon < 6.0 for epsilon in found["epsilon"])  # the training and the questions, within budget
    assert found["delta"] == 1e-6
    assert found["logs_verified"] is True
    assert found["refused"] == "BudgetExceeded"
    assert len(found["answers"]) == 2

    page = report.read_text()
    assert page.count("<svg") >= 5
    assert "<script" not in page
    assert not re.search(r"""(src|href)\s*=|url\(|@import""", page)  # nothing is fetched from elsewhere

    (directory,) = temporary.glob("stead-demo-*")
    assert len(processes_naming(str(directory))) == 3
    for address in re.findall(r"https://localhost:\d+", done.stderr)[:3]:
        import httpx

        assert httpx.get(f"{address}/health", verify=False).json()["status"] == "ok"
    stopped = subprocess.run(
        [*STEAD, "demo", "--stop", str(directory)], check=False, env=environment, capture_output=True, timeout=30
    )
    assert stopped.returncode == 0
    deadline = time.monotonic() + 20
    while processes_naming(str(directory)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_naming(str(directory))
    assert not directory.exists()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ctrl_c_stops_everything_and_leaves_nothing(place, tmp_path):
    temporary, environment = place
    report = tmp_path / "report.html"
    running = subprocess.Popen(
        [*STEAD, "demo", "--report", str(report)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A runner that was started in the background hands down SIGINT ignored; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - one thread here
    )
    for line in running.stderr:
        if "Preview" in line:  # the hospitals are up and answering
            break
    assert len(processes_naming(str(temporary))) >= 3
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in rest
    assert not processes_naming(str(temporary))
    assert not list(temporary.glob("stead-demo-*"))
    assert not report.exists()
