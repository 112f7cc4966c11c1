"""A comparison on a Ray cluster of several nodes, of which one is lost in mid-training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chaos.disturb import PFLTUNE, Running, Sitting
from chaos.outcome import assert_whole, outcome_of
from chaos.reference import NAME, OPTIONS

pytestmark = pytest.mark.slow

NODES = 2
STORE_BYTES = 150 * 2**20


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """A head that runs no trial and nodes of one core each, all on this machine."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(NODES):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def compare(folder: Path, *words: str) -> Sitting:
    """Run the small comparison as it is on one machine."""
    with Running(folder, [PFLTUNE, "compare", *OPTIONS, "--name", NAME, *words]) as running:
        return running.ended()


@pytest.fixture(scope="module")
def lost_a_node(tmp_path_factory) -> tuple[Path, Sitting]:
    """On a cluster of which a node dies, without a word, while trials run on it."""
    folder = tmp_path_factory.mktemp("cluster")
    with ray_cluster() as cluster:
        command = [PFLTUNE, "compare", *OPTIONS, "--name", NAME, "--ray-address", cluster.address]
        with Running(folder, command) as running:
            came = running.until("side by side", 10, folder / "results" / NAME)
            assert came, running.ended().errors
            cluster.remove_node(sorted(cluster.worker_nodes, key=id)[0], allow_graceful=False)
            sitting = running.ended()
    return folder, sitting


def test_it_ends_though_a_node_is_lost(lost_a_node):
    _, sitting = lost_a_node
    assert sitting.code == 0, sitting.errors
    assert "Traceback" not in sitting.errors
    assert f"{NODES} trials side by side" in sitting.output


def test_the_figures_are_those_of_one_machine(lost_a_node, reference):
    folder, _ = lost_a_node
    outcome = outcome_of(folder / "results", NAME)
    assert_whole(outcome)
    assert outcome.runs == reference.outcome.runs
    assert outcome.table == reference.outcome.table


def test_a_cluster_that_is_not_there_is_one_line(tmp_path):
    sitting = compare(tmp_path, "--ray-address", "127.0.0.1:1")
    assert sitting.code == 2, sitting.output
    assert "no Ray cluster can be reached" in sitting.errors
    assert sitting.errors.count("\n") == 1
