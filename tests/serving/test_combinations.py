"""Random combinations of all that a fleet can do: nothing is lost, counts add up, batches are the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from test_against_reference import engines
from test_fleet_against_reference import asked, outages, scalings

from armillary.serving.deployment import Failures, Pool
from armillary.serving.simulator import simulate
from armillary.serving.streaming import Extent, simulate_stream

ROUTERS = ["round_robin", "random", "least_loaded", "power_of_two", "cache_aware"]


@st.composite
def pools(draw, model, region):
    apart = draw(st.booleans())
    maybe = st.none() | scalings
    return Pool(
        draw(engines("prefill" if apart else "both")),
        draw(st.integers(1, 3)),
        draw(engines("decode")) if apart else None,
        draw(st.integers(1, 2)),
        (draw(st.floats(0, 0.01)), 1e-6),
        model,
        region,
        draw(st.none() | st.integers(1, 5)),
        draw(st.just(np.inf) | st.floats(0.5, 5)),
        draw(maybe),
        draw(maybe),
        draw(st.none() | st.builds(Failures, st.floats(0.02, 1.0), st.floats(1e-3, 0.2))),
        (draw(st.floats(0, 0.1)), 1e-6, draw(st.floats(0, 3))),
        draw(st.none() | st.floats(0, 300)),
        1e-5,
    )


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_counts_add_up_in_any_combination(data):
    models, regions = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    block = data.draw(st.sampled_from([0, 8]))
    levels, patience = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    requests = data.draw(
        asked(60, models=models, regions=regions, levels=levels, block=block, patience=patience)
    )
    fleet = [data.draw(pools(m, r)) for m in range(models) for r in range(data.draw(st.integers(1, regions)))]
    room = sum(pool.room for pool in fleet)
    known = [o._replace(replica=o.replica % room) for o in data.draw(st.just([]) | outages)]
    how = {
        "routing": data.draw(st.sampled_from(ROUTERS if block else ROUTERS[:-1])),
        "seed": data.draw(st.integers(0, 2**30)),
        "retries": data.draw(st.integers(0, 3)),
        "host_tokens": data.draw(st.sampled_from([0.0, 40.0])),
        "region_latency": np.full((regions, regions), data.draw(st.sampled_from([0.0, 0.01]))),
        "outages": known,
        "ttft_limit": 0.05,
        "e2e_limit": data.draw(st.sampled_from([0.2, np.inf])),
    }
    found = simulate(requests, fleet, **how)
    counts, n = found.counts, len(requests.arrival)
    assert [counts.completed, counts.rejected, counts.timed_out] == [
        (found.status == k).sum() for k in (1, 2, 3)
    ]
    assert counts.completed + counts.rejected + counts.timed_out == n == (found.status > 0).sum()
    assert sum(counts.reasons.values()) == counts.rejected + counts.timed_out
    assert counts.retried == found.retries.sum()
    assert counts.input == np.sum(requests.input)
    done = found.completed
    assert counts.output == np.asarray(requests.output)[done].sum()
    assert counts.cached == found.cached[done].sum()
    late = (found.ttft > 0.05) | (found.e2e > how["e2e_limit"])
    assert counts.good == (done & ~late).sum()
    assert (found.first[done] > found.arrival[done]).all()
    assert (found.finish[done] >= found.first[done]).all()
    widest = int(np.diff(requests.block_offsets).max()) if block else 0
    streamed = simulate_stream(
        [requests.take(slice(0, n // 2)), requests.take(slice(n // 2, n))],
        fleet,
        extent=Extent(models, regions, levels, block, widest),
        **how,
    )
    assert streamed.counts._replace(events=0) == counts._replace(events=0)
