"""The benchmark of routes runs, in a network with a site that no link that keys go over ends at: the satellite."""

from __future__ import annotations

from qanat.benchmarks.routing import paper_graph, run


def test_routes_in_the_papers_network_are_timed_beside_networkx() -> None:
    (row,) = run(["route-paper"])
    graph = paper_graph()
    assert "micius" in graph.nodes
    assert not graph.hops[graph.nodes.index("micius")]
    assert row.rate > 0
    assert row.reference_rate > 0
    assert row.note.startswith(f"{len(graph.nodes)} sites, {len(graph.links)} links")
