"""The process that serves doors loads no compiled loops: they belong to its workers, and take some 70 MiB."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import qanat.apps.cli.up, qanat.apps.cli.processes, qanat.apps.cli.node, qanat.apps.cli.demo
from qanat.adapters.process_pool import encode_job
from qanat.adapters.system import SystemEntropy, system_chance
from qanat.apps.networks import load_network
from qanat.apps.site import key_manager_settings
from qanat.ground.ports import Job
from qanat.quantum_layer.block_worker import warm_up

key_manager_settings(load_network("three-nodes"))
encode_job(Job(warm_up, (SystemEntropy(), system_chance())))
print([name for name in ("numba", "scipy", "highspy", "qanat.quantum_layer.link_job") if name in sys.modules])
"""


def test_the_process_of_the_doors_has_neither_compiled_loops_nor_what_compiles_them() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
