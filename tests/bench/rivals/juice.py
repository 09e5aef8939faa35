"""How data-juicer is run: a configuration made here, and no packages installed while it runs.

It installs torch with CUDA, several GB, in the middle of a run in order to empty the memory of a GPU: that is left out.
"""

import json
from pathlib import Path

from data_juicer.utils.lazy_loader import LazyLoader


def _refuse(package: str, *_: object) -> None:
    raise RuntimeError(f"data-juicer wants to install {package} while it runs, and may not")


def process(corpus: str, out: str, processes: int, steps: list[dict]) -> None:
    """Runs these steps over the Parquet files of a folder; what is kept lies in `OUT/kept.parquet`."""
    LazyLoader._install_package = staticmethod(_refuse)
    from data_juicer.config import init_configs
    from data_juicer.core import DefaultExecutor
    from data_juicer.ops import base_op

    base_op.free_models = lambda *_, **__: None
    place = Path(out).resolve()
    (place / "temp").mkdir(parents=True)
    settings = {
        "project_name": "bench",
        "dataset_path": str(Path(corpus).resolve()),
        "export_path": str(place / "kept.parquet"),
        "export_type": "parquet",
        "np": processes,
        "text_keys": "content",
        "work_dir": str(place / "work"),
        "ds_cache_dir": str(place / "cache"),
        "temp_dir": str(place / "temp"),
        "use_cache": False,
        "open_tracer": False,
        "auto_op_parallelism": False,
        "process": steps,
    }
    config = place / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps(settings))
    DefaultExecutor(init_configs(["--config", str(config)])).run()
