import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.model import transformer
from armillary.serving import Batch, EngineLayout, Replica, front_end, precision, sustained
from armillary.serving.calibration import vintage_of
from armillary.serving.candidates import candidate
from armillary.serving.kernels import experts_hit
from armillary.serving.precision import widths
from armillary.serving.step import step_time


def replica(shipped, model="llama-3.1-70b", chip="h200", layout=None, form="fp8", **more):
    return Replica(
        transformer(shipped.model(model)),
        shipped.accelerator(chip),
        layout or EngineLayout(tp=4),
        precision(form),
        "vllm",
        5e10,
        **more,
    )


MODELS = ("llama-3.1-70b", "deepseek-v3", "gpt-oss-120b", "qwen3.5-397b-a17b")


@pytest.mark.parametrize("model", MODELS)
def test_parts_sum_to_the_total_and_arrays_equal_numbers(shipped, model):
    one = replica(shipped, model, "b200", EngineLayout(tp=8, ep=8))
    counts = np.array([1.0, 7.0, 200.0])
    many = one.step(Batch(counts, counts * 1500, 512.0, 512.0 * 900, 512.0))
    for i, count in enumerate(counts):
        alone = one.step(Batch(count, count * 1500, 512.0, 512.0 * 900, 512.0))
        assert alone.total == pytest.approx(many.total[i], rel=1e-12)
        assert alone.total == pytest.approx(sum(alone), rel=1e-12)
        assert all(np.all(part >= 0) for part in alone)


@settings(max_examples=25, deadline=None)
@given(decodes=st.floats(1, 500), context=st.floats(64, 16000), prompt=st.floats(0, 8000))
def test_more_work_is_never_quicker(shipped, decodes, context, prompt):
    one = replica(shipped, "deepseek-v3", "b200", EngineLayout(dp=8, ep=8))
    base = one.step(Batch(decodes, decodes * context, prompt, prompt * prompt / 2, prompt)).total
    longer = one.step(Batch(decodes, 2 * decodes * context, prompt, prompt * prompt / 2, prompt)).total
    wider = one.step(Batch(2 * decodes, 2 * decodes * context, prompt, prompt * prompt / 2, prompt)).total
    assert longer >= base
    assert wider >= base


def test_a_step_streams_its_weights(shipped):
    """One sequence: the weights cross HBM once, at the share that is sustained."""
    one = replica(shipped, layout=EngineLayout(tp=1))
    known = one.known()
    weights = float(one.memory().weights)
    time = one.step(Batch(1.0, 1000.0))
    assert time.projections + time.head > 0.9 * weights / known.dense_bandwidth
    assert time.total < 2.0 * weights / known.dense_bandwidth


@pytest.mark.parametrize(("model", "layout"), [("llama-3.1-70b", (4, 1)), ("deepseek-v3", (1, 8))])
def test_table_and_slopes_are_the_step(shipped, model, layout):
    tp, dp = layout
    ranks = tp * dp if model == "deepseek-v3" else 1
    one = replica(shipped, model, "b200", EngineLayout(tp=tp, dp=dp, ep=ranks), context=2000.0)
    cost = one.cost(256, 8192, 1000.0)
    for count, context in ((16, 900.0), (64, 2000.0), (256, 5000.0)):
        exact = float(one.step(Batch(count, count * context, 0.0, 0.0, np.inf, 0.0)).total)
        assert cost.decode[count] + cost.kv * count * context == pytest.approx(exact, rel=0.02)
    exact = float(one.step(Batch(0.0, 0.0, 1000.0, 1000.0 * 500, 1000.0, 1.0)).total)
    assert cost.mixed[1000] + cost.chunk_kv * 1000 * 500 == pytest.approx(exact, rel=0.03)
    for count in (16, 64, 256):
        exact = float(one.step(Batch(count, count * 2000.0, 1000.0, 1000.0 * 500, 1000.0, 1.0)).total)
        parts = cost.mixed[1000 + count] + cost.joined + cost.beside * count + cost.kv * count * 2000
        assert parts + cost.chunk_kv * 1000 * 500 == pytest.approx(exact, rel=0.03)


def test_drafts_give_tokens_and_cost_time(shipped):
    layout = EngineLayout(tp=8)
    plain, drafted = (
        replica(shipped, "deepseek-v3", "b200", layout, drafts=n).cost(64, 8192, 1000.0) for n in (0, 3)
    )
    assert plain.tokens_per_step == 1
    assert 1.5 < drafted.tokens_per_step < 4
    assert drafted.decode[32] > plain.decode[32]
    assert drafted.decode[4] / drafted.tokens_per_step < plain.decode[4]


def test_wider_layouts_hold_more_and_a_latent_cache_is_not_split(shipped):
    few, many = (replica(shipped, layout=EngineLayout(tp=n)).memory() for n in (2, 4))
    assert many.tokens > 2 * few.tokens
    latent = [
        replica(shipped, "deepseek-v3", "b200", EngineLayout(tp=n, ep=n)).memory().token for n in (4, 8)
    ]
    assert latent[0] == latent[1]


def test_weights_that_do_not_fit_are_refused_with_sizes(shipped):
    with pytest.raises(InputError, match=r"does not fit as one accelerator: .* GB of 77 GB on each h100"):
        candidate(replica(shipped, "llama-3.1-405b", "h100", EngineLayout()), 1000.0, 4000.0)


def test_names_that_are_not_known_are_refused(shipped):
    with pytest.raises(InputError, match="unknown serving precision 'fp9'"):
        precision("fp9")
    with pytest.raises(InputError, match=r"unknown serving engine 'vlm'.*vllm"):
        sustained(shipped.accelerator("h100"), "vlm", precision("fp8"), 5e10)


def test_releases_are_told_by_their_three_numbers():
    table = {"engines": {"x": {"releases": {"0.5.1": {"lag": 2.0}, "0.5.10": {"lag": 3.0}}}}}
    assert [vintage_of("x", r, table)["lag"] for r in ("0.5.1.post1", "0.5.10.post1", "0.5.12", "")] == [
        2.0,
        3.0,
        1.0,
        1.0,
    ]


def test_front_ends_take_longer_for_long_prompts_slow_steps_and_tokens_in_groups():
    front = front_end("vllm")
    assert front.time(2000, 0.01) > front.time(100, 0.01)
    assert front.time(100, 0.02) > front.time(100, 0.01)
    assert front_end("sglang", stream=30).lag > front_end("sglang").lag


def test_a_host_that_launches_slowly_holds_up_small_prompts_only(shipped):
    one = replica(shipped, "llama-3.1-70b", "b200", EngineLayout(tp=8))
    slow = one.known()._replace(launch=1e-4)
    quick = slow._replace(launch=0.0)

    def waits(batch):
        times = [
            float(step_time(one.model, one.layout, widths(one.precision), known, batch).host)
            for known in (slow, quick)
        ]
        return times[0] - times[1]

    small = Batch(8.0, 8000.0, 100.0, 5000.0, 100.0, 1.0)
    large = Batch(8.0, 8000.0, 60000.0, 3e7, 1000.0, 60.0)
    assert waits(Batch(8.0, 8000.0)) == 0
    assert waits(small) > 10 * waits(large) >= 0


def test_hit_experts_are_counted_as_drawn():
    draw = np.random.default_rng(0)
    seen = [len(set(np.concatenate([draw.permutation(64)[:4] for _ in range(20)]))) for _ in range(400)]
    assert float(experts_hit(64, 4, 20)) == pytest.approx(np.mean(seen), rel=0.02)
