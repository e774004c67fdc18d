import math

import pytest

from armillary.errors import InputError
from armillary.model import transformer
from armillary.serving import Targets, Workload, precision, size
from armillary.serving.lengths import Fixed, Mix
from armillary.serving.sizing import pareto

LENGTHS = Mix(Fixed(800), Fixed(200))


@pytest.fixture(scope="module")
def sized(shipped):
    def run(targets, mean=50.0, model="llama-3.1-8b", **more):
        system = shipped.system("p5en")
        return size(
            Workload(mean, 2 * mean, LENGTHS),
            targets,
            transformer(shipped.model(model)),
            system,
            shipped.accelerator(system.accelerator),
            precision("fp8"),
            price=3 / 3600,
            **more,
        )

    return run


def test_deployments_hold_their_targets_and_the_peak(sized):
    targets = Targets(ttft=0.5, tpot=0.02)
    found, reasons = sized(targets)
    assert found
    assert not reasons
    for one in found:
        assert one.ttft <= targets.ttft
        assert one.tpot <= targets.tpot
        groups = one.accelerators / (one.replicas * one.layout.accelerators)
        assert groups >= 1
        if one.prefill is None:
            assert one.replicas * one.rate >= 100.0
    assert found == sorted(found, key=lambda s: (s.cost, s.accelerators))
    per_second = found[0].per_input * 50 * 800 + found[0].per_output * 50 * 200
    assert per_second == pytest.approx(found[0].cost)


def test_tighter_targets_and_more_demand_never_cost_less(sized):
    loose = sized(Targets(ttft=1.0, tpot=0.05), disaggregate=False)[0][0]
    tight = sized(Targets(ttft=1.0, tpot=0.008), disaggregate=False)[0][0]
    more = sized(Targets(ttft=1.0, tpot=0.05), mean=200.0, disaggregate=False)[0][0]
    assert tight.cost >= loose.cost
    assert more.cost > loose.cost


def test_the_front_is_not_beaten(sized):
    found, _ = sized(Targets(ttft=1.0, tpot=0.05))
    for one in pareto(found):
        assert not any(
            other.interactivity > one.interactivity
            and other.tokens_per_accelerator > one.tokens_per_accelerator
            for other in found
        )


def test_what_cannot_be_had_says_what_binds(sized):
    found, reasons = sized(Targets(tpot=1e-5))
    assert not found
    assert "time per output token" in reasons[0].constraint
    assert reasons[0].best > reasons[0].asked == 1e-5
    found, reasons = sized(Targets(ttft=1e-4))
    assert not found
    assert "time to first token" in reasons[0].constraint


def test_bad_numbers_are_refused(sized):
    with pytest.raises(InputError, match="ttft target must be above 0"):
        sized(Targets(ttft=0.0))
    with pytest.raises(InputError, match="rates must rise"):
        sized(Targets(), mean=math.nan)
