import numpy as np
import pytest

from armillary.errors import InputError
from armillary.network import ring_all_reduce
from armillary.network.flows import simulate_graph
from armillary.network.graph import all_to_all_steps, chain, phase, ring_steps, together
from armillary.network.routes import Routes


def crossbar(hosts: int):
    """Routes over a switch: one link up and one down for each host."""

    def route(source, target):
        return Routes(
            2 * np.arange(len(source) + 1), np.stack([source, hosts + target], 1).ravel().astype(np.int32)
        )

    return route


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_ring_takes_the_time_of_its_closed_form(ranks):
    size, bandwidth, latency = 1e9, 50e9, 5e-6
    graph = ring_steps(np.arange(ranks), size / ranks, crossbar(ranks), 2 * (ranks - 1), latency)
    found = simulate_graph(np.full(2 * ranks, bandwidth), graph)
    assert found.makespan == pytest.approx(ring_all_reduce(size, ranks, bandwidth, latency), rel=1e-12)
    assert found.events <= 4 * (ranks - 1) + 1
    assert simulate_graph(np.full(2 * ranks, bandwidth), graph, symmetry=True).makespan == pytest.approx(
        found.makespan
    )


def test_all_to_all_has_a_step_a_shift():
    graph = all_to_all_steps(np.arange(5), 10.0, crossbar(5))
    assert graph.groups == 4
    assert simulate_graph(np.full(10, 5.0), graph).group_finish == pytest.approx([2, 4, 6, 8])


def test_two_collectives_at_once_share_what_they_share():
    one = ring_steps(np.arange(4), 10.0, crossbar(4), 3)
    found = simulate_graph(np.full(8, 5.0), one.beside(one))
    assert found.makespan == pytest.approx(12.0)
    apart = ring_steps([0, 1], 10.0, crossbar(4), 3).beside(ring_steps([2, 3], 10.0, crossbar(4), 3))
    assert simulate_graph(np.full(8, 5.0), apart).makespan == pytest.approx(6.0)


def test_then_waits_for_all_of_both():
    route = crossbar(4)
    short, long = (phase(route(np.array([i]), np.array([i + 1])), size) for i, size in ((0, 5.0), (2, 20.0)))
    first = short.beside(long)
    whole = first.then(first)
    assert whole.groups == 5  # one barrier, so that edges stay few
    assert len(whole.before) == 4
    found = simulate_graph(np.full(8, 5.0), whole)
    assert sorted(found.group_finish) == pytest.approx([1, 4, 4, 5, 8])
    delayed = short.then(short.after_delay(3.0))
    assert simulate_graph(np.full(8, 5.0), delayed).makespan == pytest.approx(5.0)
    assert chain([short, short, short]).names == ("phase", "phase", "phase")


def test_usage_survives_joining():
    plain = Routes(np.array([0, 1]), np.array([0], np.int32))
    half = plain._replace(usage=np.array([0.5]))
    found = simulate_graph([6.0], together([phase(plain, 6.0), phase(half, 6.0)]))
    assert found.link_bytes == pytest.approx([9.0])
    assert found.finish == pytest.approx([1.5, 1.5])


def test_bad_graphs_are_refused():
    with pytest.raises(InputError, match="at least 2 ranks"):
        ring_steps([3], 1.0, crossbar(4), 1)
    with pytest.raises(InputError, match="at least 1 step"):
        ring_steps([0, 1], 1.0, crossbar(4), 0)
    with pytest.raises(InputError, match="at least one part"):
        together([])
