"""On Ray: the same bytes as here, on a cluster too, and whatever dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import RunError
from engine.pool import RayPool

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_alone")]

SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def ray_pool(ray_alone, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    pool = RayPool(2)
    yield pool
    pool.close()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_port(port):
    end = time.monotonic() + 120
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class KillsAWorker:
    """Kills its own process the first time that it is called for each item."""

    def __init__(self, folder, work):
        self.folder, self.work = folder, work

    def __call__(self, task):
        mark = Path(self.folder) / task.shard.name
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work(task)


class WithKills:
    """A pool whose workers die once an item."""

    def __init__(self, pool, folder):
        self.pool, self.folder, self.workers = pool, folder, pool.workers

    def map(self, work, items, needs=None, threads=False):
        yield from self.pool.map(KillsAWorker(self.folder, work), items, needs, threads)


def test_ray_gives_the_same_bytes_and_killed_workers_change_nothing(
    ray_pool, make_corpus, run_recipe, tmp_path, bytes_of
):
    folder = make_corpus(files=3)
    run_recipe(tmp_path / "here", folder)
    run_recipe(tmp_path / "ray", folder, pool=ray_pool)
    assert bytes_of(tmp_path / "ray") == bytes_of(tmp_path / "here") != {}
    marks = tmp_path / "marks"
    marks.mkdir()
    text = "name: t\nseed: 7\nsource: {{parquet: {{path: '{path}'}}}}\nsteps: [line_length]\n"
    run_recipe(tmp_path / "one", folder, text)
    run_recipe(tmp_path / "killed", folder, text, pool=WithKills(ray_pool, str(marks)))
    assert len(list(marks.iterdir())) == 3
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "one") != {}


def test_an_error_of_a_worker_is_told_in_its_own_words(ray_pool, make_corpus, run_recipe, tmp_path):
    folder = make_corpus(files=1)
    with pytest.raises(RunError, match="not to be"):
        list(ray_pool.map(_fails, [folder]))


def _fails(_item):
    raise RunError("not to be")


@pytest.mark.slow
def test_a_cluster_of_two_nodes_gives_the_same_bytes_and_may_lose_one(make_corpus, run_recipe, tmp_path, bytes_of):
    folder = make_corpus(files=12, rows=200)
    run_recipe(tmp_path / "here", folder)
    recipe = tmp_path / "r.yaml"
    steps = "steps: [line_length, exact_dedup]"
    recipe.write_text(f"name: t\nseed: 7\nsource: {{parquet: {{path: '{folder}'}}}}\n{steps}\n")
    # `ray start` turns authentication on where the person's home holds a token of another cluster.
    home = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    environment = os.environ | home

    def node(*arguments):
        # Each has an agent that listens; the two of one machine must not want the same port.
        ports = ["--dashboard-agent-listen-port", str(free_port()), "--num-cpus=1", "--object-store-memory=80000000"]
        command = [SCRIPTS / "ray", "start", "--block", *arguments, *ports]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, start_new_session=True, **quiet)

    head, page = free_port(), free_port()
    first = node("--head", f"--port={head}", "--include-dashboard=true", f"--dashboard-port={page}")
    second = None
    try:
        wait_for_port(head)
        second = node(f"--address=127.0.0.1:{head}")
        command = [SCRIPTS / "engine", "run", str(recipe), "--out", str(tmp_path / "cluster")]
        run = subprocess.Popen(
            command, env=environment | {"RAY_ADDRESS": f"127.0.0.1:{head}"}, stderr=subprocess.PIPE, text=True
        )
        receipts = tmp_path / "cluster" / "stages"
        while run.poll() is None and len(list(receipts.glob("*/receipts/*.json"))) < 3:
            time.sleep(0.01)
        os.killpg(second.pid, signal.SIGKILL)
        _, told = run.communicate(timeout=240)
        assert run.returncode == 0, told
        place = tmp_path / "work"
        place.mkdir()
        (place / "r.yaml").write_text(recipe.read_text())
        wait_for_port(page)
        submit = [SCRIPTS / "ray", "job", "submit", f"--address=http://127.0.0.1:{page}", f"--working-dir={place}"]
        job = [*submit, "--", "engine", "run", "r.yaml", "--out", str(tmp_path / "job")]
        done = subprocess.run(job, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        for process in filter(None, (second, first)):
            process.terminate()
            process.wait(60)
    assert bytes_of(tmp_path / "cluster") == bytes_of(tmp_path / "here") != {}
    assert bytes_of(tmp_path / "job") == bytes_of(tmp_path / "here")


def test_an_address_where_no_cluster_answers_is_refused_in_plain_words(tmp_path):
    code = "from engine.pool import RayPool\ntry:\n    RayPool()\nexcept Exception as e:\n    print(repr(e))\n"
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1", "RAY_gcs_rpc_server_reconnect_timeout_s": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("RunError('no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1")
