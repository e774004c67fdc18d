import math
from dataclasses import replace

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.model import transformer
from armillary.serving import Targets, Workload, precision, size
from armillary.serving.lengths import Fixed, Mix
from armillary.serving.mixes import named_mix
from armillary.serving.sizing import pareto
from armillary.serving.traces import Blocks, Trace

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


def least(found):
    return min(one.accelerators for one in found[0])


def test_tighter_targets_never_take_fewer_accelerators(sized):
    for name, limits in (("tpot", (0.05, 0.012, 0.007)), ("e2e", (20.0, 2.0))):
        taken = [least(sized(Targets(**{"ttft": 1.0, name: limit}), mean=400.0)) for limit in limits]
        assert taken == sorted(taken), name
        assert taken[-1] > taken[0]
    strict = [least(sized(Targets(tpot=0.012, percentile=p), mean=400.0)) for p in (50.0, 99.0)]
    assert strict == sorted(strict)


def test_more_bandwidth_never_takes_more_accelerators(shipped):
    system = shipped.system("p5en")
    chip, model = shipped.accelerator(system.accelerator), transformer(shipped.model("llama-3.1-8b"))
    ask = (Workload(400.0, 800.0, LENGTHS), Targets(ttft=0.5, tpot=0.01), model)
    quicker = replace(chip, memory_bandwidth=1.5 * chip.memory_bandwidth)
    wider = replace(system, nic_bandwidth=4 * system.nic_bandwidth)
    base = least(size(*ask, system, chip, precision("fp8")))
    assert least(size(*ask, system, quicker, precision("fp8"))) < base
    assert least(size(*ask, wider, chip, precision("fp8"))) <= base


def test_what_is_printed_was_simulated_with_spares_down(sized):
    targets = Targets(ttft=0.5, tpot=0.012, goodput=0.93)
    found, _ = sized(targets, mean=400.0, headroom=0.25)
    assert any(one.prefill is not None for one in found)
    for one in found:
        down, up = one.checks
        assert down.trial.holds
        assert up.trial.holds
        assert down.down >= 1
        assert up.down == up.prefill_down == 0
        assert one.spares == math.ceil((one.replicas - one.spares) * 0.25)
        needed = one.replicas - one.spares
        assert down.rate / (down.replicas - down.down) >= 800.0 / needed * (1 - 1e-9)
        assert one.ttft == max(down.trial.ttft, up.trial.ttft)
        assert min(down.trial.good, up.trial.good) >= 0.93
        assert one.accelerators <= one.systems * 8
        assert one.host_vcpus == one.systems * 192
        assert one.per_message * 400 == pytest.approx(one.cost)
        assert one.energy_per_message * 400 == pytest.approx(one.power)
    assert all(len(one.checks) == 1 for one in sized(targets, headroom=0.0)[0])


def test_a_percentile_of_its_own_binds_alone(sized):
    """A first token that all of p50 get in time, p99.9 do not: the shared percentile stays what it was."""
    mild = Targets(ttft=0.08, tpot=0.02, ttft_percentile=50.0)
    found, _ = sized(mild, mean=400.0)
    assert all(one.ttft <= 0.08 for one in found)
    strict = mild._replace(ttft_percentile=99.5)
    again, reasons = sized(strict, mean=400.0)
    assert not again or least((again, reasons)) > least((found, []))


def test_a_share_that_is_found_saves_reading_and_pays_little(shipped):
    system = shipped.system("p5en")
    model, chip = transformer(shipped.model("llama-3.1-8b")), shipped.accelerator(system.accelerator)
    mix = Mix(Fixed(4000), Fixed(200), cached=0.75)
    none, found = (
        size(
            Workload(100.0, 200.0, mix, cached=counted),
            Targets(ttft=1.0, tpot=0.02),
            model,
            system,
            chip,
            precision("fp8"),
            1e-3,
        )[0]
        for counted in (False, True)
    )
    assert least((found, [])) < 0.6 * least((none, []))
    assert all(one.cached == 0 and one.per_cached == 0 for one in none)
    for one in found:
        assert one.cached == pytest.approx(0.75, abs=0.01)
        assert 0 < one.per_cached < one.per_input
        read, cached = 4000 * (1 - one.cached), 4000 * one.cached
        paid = 100 * (read * one.per_input + cached * one.per_cached + 200 * one.per_output)
        assert paid == pytest.approx(one.cost)


def test_a_trace_is_replayed_on_the_replicas_own_cache(shipped):
    """One long prompt that all users share is found; prompts that nobody shares are not."""
    system = shipped.system("p5en")
    model, chip = transformer(shipped.model("llama-3.1-8b")), shipped.accelerator(system.accelerator)
    n, blocks = 2000, 8
    arrival = np.arange(n) / 10.0
    shared = np.tile(np.arange(blocks), (n, 1))
    shared[:, -2:] = 100 + np.arange(2 * n).reshape(n, 2)
    own = 100 + np.arange(blocks * n).reshape(n, blocks)
    answers = []
    for ids in (shared, own):
        kept = Blocks(np.arange(0, blocks * n + 1, blocks), ids.ravel())
        trace = Trace(arrival, np.full(n, blocks * 512), np.full(n, 100), kept, 512, "mooncake")
        lengths = Mix(Fixed(blocks * 512), Fixed(100))
        asked = Workload(50.0, 100.0, lengths, trace=trace)
        targets = Targets(ttft=1.0, tpot=0.02)
        found = size(asked, targets, model, system, chip, precision("fp8"), 1e-3, disaggregate=False)[0]
        answers.append(found)
    with_prefix, without = answers
    assert with_prefix[0].cached > 0.6
    assert without[0].cached == 0
    assert least((with_prefix, [])) < least((without, []))


def test_kv_crosses_the_domain_or_the_network_and_says_so(shipped):
    model = transformer(shipped.model("llama-3.1-70b"))
    wires = {}
    for name in ("p6e-gb200", "p5en"):
        system = shipped.system(name)
        asked = Workload(100.0, 150.0, named_mix("azure-2023-conversation").mix)
        chip = shipped.accelerator(system.accelerator)
        found = size(asked, Targets(ttft=2.0, tpot=0.02), model, system, chip, precision("fp8"))[0]
        apart = [one for one in found if one.prefill is not None]
        wires[name] = {one.handover.wire for one in apart if one.prefill_replicas < 8 * one.replicas}
        assert all(one.handover is None for one in found if one.prefill is None)
        assert all(0 < one.handover.time < 0.1 for one in apart)
    assert wires["p6e-gb200"] == {"scale-up"}


def test_engines_and_precisions_are_tried_together(sized, shipped):
    system = shipped.system("p5en")
    forms = [precision("bf16"), precision("fp8")]
    args = (
        Workload(50.0, 100.0, LENGTHS),
        Targets(tpot=0.02),
        transformer(shipped.model("llama-3.1-8b")),
        system,
        shipped.accelerator(system.accelerator),
    )
    many = size(*args, forms, engine=["vllm", "trtllm"])
    alone = [least(size(*args, form, engine=name)) for form in forms for name in ("vllm", "trtllm")]
    assert least(many) == min(alone)
    best = many[0][0]
    assert best.precision in forms
    assert best.engine in ("vllm", "trtllm")
    with pytest.raises(InputError, match="engine and a precision"):
        size(*args, [])


def test_too_few_accelerators_are_told_with_how_many_it_takes(sized):
    most = least(sized(Targets(tpot=0.02)))
    assert least(sized(Targets(tpot=0.02), capacity=most)) == most
    found, reasons = sized(Targets(tpot=0.02), capacity=most - 1)
    assert not found
    assert reasons[0].constraint == "number of accelerators"
    assert (reasons[0].best, reasons[0].asked) == (most, most - 1)


def test_an_end_that_no_idle_replica_reaches_is_told(sized):
    found, reasons = sized(Targets(e2e=0.1))
    assert not found
    assert "end-to-end time of an idle replica" in reasons[0].constraint
    assert reasons[0].best > 0.1


def test_the_same_question_has_the_same_answer(sized):
    one, other = (sized(Targets(ttft=0.5, tpot=0.02))[0] for _ in range(2))
    assert one == other


def test_drafts_quicken_tokens(sized):
    """Accepted drafts give several tokens a step, so that a target below one step's time can be held."""
    targets = Targets(tpot=0.01)
    plain, drafted = (sized(targets, model="deepseek-v3", disaggregate=False, drafts=n) for n in (0, 3))
    assert not plain[0] or least(drafted) < least(plain)
    assert drafted[0]
    assert all(one.tpot <= 0.01 for one in drafted[0])


def test_bad_numbers_are_refused(sized):
    with pytest.raises(InputError, match="ttft target must be above 0"):
        sized(Targets(ttft=0.0))
    with pytest.raises(InputError, match="rates must rise"):
        sized(Targets(), mean=math.nan)
