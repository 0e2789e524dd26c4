"""A message is read once, also over a restart and by two processes."""

import threading

import pytest
from gate_world import StillClock

from stead.errors import BadSignature
from stead.node.services.nonces import StoredReplayGuard
from stead.node.store import open_store

SENDER, OTHER = b"s" * 32, b"o" * 32


def test_a_claim_is_made_once_and_survives_a_restart(store_url):
    clock = StillClock()
    store = open_store(store_url)
    guard = StoredReplayGuard(store, clock)
    guard.claim(SENDER, b"1" * 16, clock.now() + 180)
    guard.claim(OTHER, b"1" * 16, clock.now() + 180)
    guard.claim(SENDER, b"2" * 16, clock.now() + 180)
    store.close()
    again = open_store(store_url)
    for sender, nonce in ((SENDER, b"1"), (OTHER, b"1"), (SENDER, b"2")):
        with pytest.raises(BadSignature, match="received before"):
            StoredReplayGuard(again, clock).claim(sender, nonce * 16, clock.now() + 180)
    again.close()


def test_expired_claims_are_forgotten_and_living_ones_are_not(store_url):
    clock = StillClock()
    store = open_store(store_url)
    guard = StoredReplayGuard(store, clock)
    guard.claim(SENDER, b"1" * 16, clock.now() + 180)
    clock.time += 5000
    guard.claim(SENDER, b"2" * 16, clock.now() + 180)
    with store.read() as connection:
        left = connection.exec_driver_sql("SELECT nonce FROM nonces").scalars().all()
    assert [bytes(nonce) for nonce in left] == [b"2" * 16]
    store.close()


def test_of_many_claims_at_once_one_succeeds(store_url):
    clock = StillClock()
    store = open_store(store_url)
    guard = StoredReplayGuard(store, clock)
    outcomes = []

    def claim():
        try:
            guard.claim(SENDER, b"1" * 16, clock.now() + 180)
            outcomes.append("claimed")
        except BadSignature:
            outcomes.append("refused")

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["claimed"] + ["refused"] * 5
    store.close()
