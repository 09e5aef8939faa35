"""What the doctor finds: nothing wrong here, and what is wrong where it is made so."""

from __future__ import annotations

import json
import socket
from importlib import metadata
from pathlib import Path

import pytest
from command_line import engine

from engine import doctor
from engine.doctor import examine


def found(subject: str, place: str = "."):
    (finding,) = [f for f in examine(place) if f.subject == subject][:1]
    return finding


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_it_looks_at_everything_and_advises_where_something_is_amiss():
    findings = examine()
    subjects = {f.subject for f in findings}
    assert {"python", "packages", "ops", "processors", "disk", "open files", "kernels", "ray", "models"} <= subjects
    assert all(f.advice for f in findings if f.level != "ok")


def test_a_package_that_is_missing_or_old_is_named(monkeypatch):
    needs = ["polars>=999", "no-such-package>=1.2", "numpy>=2.0", 'torch>=2 ; extra == "model"']
    monkeypatch.setattr(metadata, "requires", lambda name: needs)
    finding = found("packages")
    assert finding.level == "wrong"
    assert "polars" in finding.found and "needs >=999" in finding.found
    assert "no-such-package missing, needs >=1.2" in finding.found
    assert "numpy" not in finding.found and "torch" not in finding.found
    assert "pip install" in finding.advice


def test_an_installation_without_metadata_is_told(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert found("packages").level == "wrong"


def test_a_ray_address_where_nothing_listens_is_wrong(monkeypatch):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        assert found("ray").level == "wrong"
        listening.listen()
        assert found("ray").level == "ok"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert found("ray").level == "ok"


def test_too_little_memory_says_how_many_workers_fit(monkeypatch):
    monkeypatch.setattr(doctor, "available_memory", lambda: 3 << 30)
    monkeypatch.setattr(doctor, "cores", lambda: 16)
    finding = found("memory")
    assert finding.level == "note" and "--workers 3" in finding.advice
    monkeypatch.setattr(doctor, "cores", lambda: 2)
    assert found("memory").level == "ok"


def test_the_containers_limit_counts_where_it_is_less(monkeypatch):
    files = {
        "/proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n",
        "/sys/fs/cgroup/memory.max": "1000000000\n",
        "/sys/fs/cgroup/memory.current": "400000000\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda self: files[str(self)])
    assert doctor.available_memory() == 600_000_000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert doctor.available_memory() == 32_000_000 * 1024


def test_a_full_disk_is_noted_for_the_folder_that_will_be(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "LEAST_DISK", 1e18)
    finding = found("disk", str(tmp_path / "not" / "there" / "yet"))
    assert finding.level == "note" and str(tmp_path) in finding.found


def test_kernels_are_counted_where_numba_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "not compiled" in found("kernels").found
    (tmp_path / "a.nbi").touch()
    assert found("kernels").found == "1 compiled"


def test_the_command_ends_with_one_where_something_is_wrong(monkeypatch, capsys):
    told = engine(capsys, "doctor")
    assert told.code == 0 and "python" in told.out
    assert json.loads(engine(capsys, "doctor", "--json").out)[0]["subject"] == "python"
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    told = engine(capsys, "doctor")
    assert told.code == 1 and "unset RAY_ADDRESS" in told.out
