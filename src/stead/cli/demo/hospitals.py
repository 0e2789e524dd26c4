"""The demonstration's hospitals: each a node with its own directory, key, log and operating-system process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from stead.adapters import flchain
from stead.adapters.flchain import Patients
from stead.core.entropy import SystemEntropy
from stead.errors import NodeError, UsageError
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.node.services.policy import Budget, Budgets, PolicyRules, Rule

PROJECT: Final = "light-chains"
APPROVER: Final = "data-office"
DELTA: Final = 1e-6
STOP_S: Final = 10.0
_PIDS: Final = "pids.json"

RULES: Final = PolicyRules(
    rules=(
        Rule(outlet="answer", decision="allow", epsilon=1.0, reason="statistics for the project need nobody's time"),
        Rule(outlet="answer", decision="ask", reason="above epsilon 1 the data office decides", approvers=(APPROVER,)),
        Rule(outlet="join", decision="allow", project=PROJECT, reason="the three hospitals agreed on this project"),
        Rule(
            outlet="disclose",
            decision="ask",
            plan="training",
            reason="no privacy: a person decides",
            approvers=(APPROVER,),
        ),
    ),
    budgets=Budgets(
        population=Budget(epsilon=8.0, delta=DELTA),
        project=Budget(epsilon=6.0, delta=DELTA),
        scientist=Budget(epsilon=6.0, delta=DELTA),
    ),
)
"""The policy of each hospital."""


@final
class Hospital:
    """One hospital: its node's home, and its process while it runs.

    Args:
        name: of the site.
        home: the node's directory.
    """

    def __init__(self, name: str, home: Home) -> None:
        self.name = name
        self.home = home
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def key(self) -> bytes:
        """The node's raw public key."""
        return self.home.key.public.raw

    @property
    def process_id(self) -> int:
        """Of the running node.

        Raises:
            NodeError: it does not run.
        """
        if self._process is None:
            raise NodeError(f"{self.name} is not running.")
        return self._process.pid

    def start(self) -> None:
        """Run ``stead serve`` in a process of its own; at the address it had before, if it had one.

        Raises:
            NodeError: it did not come up.
        """
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "stead.cli.main", "serve", "--node", str(self.home.path), "--port", port]
        # One thread for each node: three of them share this machine. In a session of its own, so that Ctrl-C reaches
        # the demonstration alone, which stops its nodes in order.
        with (self.home.path / "serve.err").open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def wait_until_up(self) -> None:
        """Wait for the address that the node prints once it listens.

        Raises:
            NodeError: it ended instead.
        """
        process = self._process
        line = process.stdout.readline().strip() if process and process.stdout else ""
        if not line.startswith("https://"):
            said = (self.home.path / "serve.err").read_text(encoding="utf-8", errors="replace").strip()
            raise NodeError(f"{self.name} did not start: {said or 'it said nothing'}")
        self.url = line

    def stop(self) -> None:
        """Stop the node, gently and then not. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def approve_all(self) -> int:
        """The owner's word for everything that waits, as ``stead requests approve`` gives it. Returns how many."""
        node = open_node(self.home)
        try:
            waiting = node.requests.all()
            for request in waiting:
                node.requests.approve(request.request, APPROVER, reason="part of the demonstration")
        finally:
            node.close()
        return len(waiting)


def found_hospitals(directory: Path, patients: Mapping[str, Patients], scientist: bytes) -> list[Hospital]:
    """Make each hospital's node as its owner would: rows, policy, peers, and one scientist enrolled.

    Args:
        directory: where the homes go.
        patients: each hospital's rows.
        scientist: the scientist's raw public key.
    """
    found = []
    for name, rows in patients.items():
        settings = Settings(name=name, port=0, threads=1)
        home = Home.create(directory / name, settings, SystemEntropy())
        file = directory / f"{name}.csv"
        rows.to_csv(file)
        node = open_node(home)
        try:
            node.registry.add(file, flchain.card(name))
            node.books.policies.set(RULES)
            node.books.people.enrol(scientist, "ines", role="scientist", project=PROJECT)
        finally:
            node.close()
        file.unlink()
        found.append(Hospital(name, home))
    for hospital in found:
        node = open_node(hospital.home)
        try:
            for peer in found:
                if peer is not hospital:
                    node.books.people.enrol(peer.key, peer.name, role="site")
        finally:
            node.close()
    return found


@contextmanager
def running(hospitals: list[Hospital]) -> Iterator[None]:
    """All hospitals up for the time of the block, and down after it, whatever happens."""
    try:
        for hospital in hospitals:
            hospital.start()
        for hospital in hospitals:
            hospital.wait_until_up()
        yield
    finally:
        for hospital in hospitals:
            hospital.stop()


def leave_running(directory: Path, hospitals: list[Hospital]) -> None:
    """Start the hospitals, and note who they are so that ``stop_left`` finds them."""
    for hospital in hospitals:
        hospital.start()
    for hospital in hospitals:
        hospital.wait_until_up()
    noted = {hospital.name: hospital.process_id for hospital in hospitals}
    (directory / _PIDS).write_text(json.dumps(noted), encoding="utf-8")


def stop_left(directory: Path) -> list[str]:
    """Stop the hospitals that ``leave_running`` left; returns their names.

    Raises:
        UsageError: there are none in that directory.
    """
    file = directory / _PIDS
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"no demonstration was left running in {directory}.") from None
    for process_id in noted.values():
        if _is_ours(process_id, directory):
            os.kill(process_id, signal.SIGTERM)
    file.unlink()
    return list(noted)


def _is_ours(process_id: int, directory: Path) -> bool:
    """Whether the process is still the node that was noted: numbers are given again."""
    try:
        words = Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return False
    return str(directory).encode() in words
