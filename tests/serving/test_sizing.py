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
        prompts = 0 if one.prefill is None else one.prefill_replicas * one.prefill.accelerators
        assert one.accelerators == one.replicas * one.layout.accelerators + prompts
        groups = one.replicas if one.prefill is None else math.gcd(one.replicas, one.prefill_replicas)
        assert groups * one.rate >= 1.1 * 100.0
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


def test_sglang_takes_prompts_longer_than_a_step(shipped):
    """It does not cut them in the simulator: a prompt of 20,000 tokens must not be turned away."""
    system = shipped.system("p5en")
    found, reasons = size(
        Workload(1.0, 1.0, Mix(Fixed(20_000), Fixed(50))),
        Targets(tpot=0.1),
        transformer(shipped.model("llama-3.1-8b")),
        system,
        shipped.accelerator(system.accelerator),
        precision("fp8"),
        engine="sglang",
        disaggregate=False,
    )
    assert found, reasons


def test_a_cached_share_is_not_counted_on(sized, shipped):
    system = shipped.system("p5en")
    model, chip = transformer(shipped.model("llama-3.1-8b")), shipped.accelerator(system.accelerator)
    both = [
        size(Workload(50.0, 100.0, mix), Targets(tpot=0.02), model, system, chip, precision("fp8"), 1e-3)[0]
        for mix in (LENGTHS, Mix(Fixed(800), Fixed(200), cached=0.5))
    ]
    # The draws differ, and no more: a share that counted would leave half of the reading.
    assert [one.rate for one in both[0]] == pytest.approx([one.rate for one in both[1]], rel=0.06)


def test_memory_that_is_short_is_told_with_its_factor(shipped):
    system = shipped.system("p5en")
    found, reasons = size(
        Workload(1.0, 1.0, LENGTHS),
        Targets(),
        transformer(shipped.model("kimi-k2.5")),
        system,
        shipped.accelerator(system.accelerator),
        precision("bf16"),
        widest=system.scale_up_size,
    )
    assert not found
    assert "memory for weights" in reasons[0].constraint
    assert 1.5 < reasons[0].best < 3


def test_bad_numbers_are_refused(sized):
    with pytest.raises(InputError, match="ttft target must be above 0"):
        sized(Targets(ttft=0.0))
    with pytest.raises(InputError, match="rates must rise"):
        sized(Targets(), mean=math.nan)
