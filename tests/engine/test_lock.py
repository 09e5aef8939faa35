"""One run at a time on a folder."""

import json
import subprocess
import sys
import time

import pytest

from engine import storage
from engine.errors import RunError
from engine.lock import locked


def test_a_second_run_is_refused_and_told_who_is_at_work(tmp_path):
    told = r"another run is at work here \(process \d+"
    with locked(str(tmp_path)), pytest.raises(RunError, match=told), locked(str(tmp_path)):
        pass
    with locked(str(tmp_path)):
        pass


def test_the_lock_dies_with_its_process(tmp_path):
    code = f"import os\nfrom engine.lock import locked\nwith locked({str(tmp_path)!r}):\n    os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with locked(str(tmp_path)):
        pass


def test_a_lease_on_an_object_store_is_refused_while_it_beats_and_taken_over_when_silent():
    out = "memory://lease-test"
    url = storage.join(out, "lease.json")
    storage.write_bytes(url, json.dumps({"lease": "x", "holder": "somebody", "at": time.time()}).encode())
    with pytest.raises(RunError, match="somebody"), locked(out):
        pass
    storage.write_bytes(url, json.dumps({"lease": "x", "holder": "somebody", "at": time.time() - 61}).encode())
    with locked(out), pytest.raises(RunError, match="another run"), locked(out):
        pass
    assert not storage.exists(url)
