"""The closed form over all layouts and batches: one is its place in the mesh, and what must rise rises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.model import transformer
from armillary.serving import Batch, EngineLayout, Targets, Workload, precision
from armillary.serving.front import front
from armillary.serving.lengths import Fixed, Mix, lognormal_of_mean
from armillary.serving.mesh import evaluated, layouts, not_beaten, steady_rates
from armillary.serving.sizing import meshes
from armillary.serving.workload import drawn

LENGTHS = Mix(lognormal_of_mean(1200, 900, 8000), lognormal_of_mean(250, 150, 2000), cached=0.3)
TARGETS = Targets(ttft=2.0, tpot=0.03)


@pytest.fixture(scope="module")
def load():
    return drawn(Workload(10.0, 10.0, LENGTHS, cached=True), 0, 5000)


@pytest.fixture(scope="module")
def meshed(shipped, load):
    def make(model, system="p5en", engine="vllm", chip=None, **more):
        found = shipped.system(system)
        silicon = chip or shipped.accelerator(found.accelerator)
        system_of = replace(found, **more)
        mine = transformer(shipped.model(model))
        return meshes(load, TARGETS, mine, system_of, silicon, precision("fp8"), engine)[0]

    return make


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_one_layout_alone_is_its_place_in_the_mesh(meshed, load, engine):
    mesh = meshed("mixtral-8x7b", engine=engine)
    for row in (0, 3, len(mesh.first) - 1):
        one = mesh.alone_replica(row)
        alone = EngineLayout(*(np.full((1, 1), float(part)) for part in one.layout[:4]), one.layout.domain)
        found = evaluated(replace(one, layout=alone), load, TARGETS)
        for name in ("needed", "reading", "first", "batch", "alone", "each"):
            assert getattr(found, name)[0] == pytest.approx(getattr(mesh, name)[row], rel=1e-12), name
        batch = mesh.batch[row, 20]
        step = one.step(Batch(batch, batch * load.context, 0.0, 0.0, np.inf, 0.0)).total
        assert mesh.alone[row, 20] == pytest.approx(float(step), rel=1e-12)


def test_layouts_keep_the_rules(shipped):
    model = transformer(shipped.model("deepseek-v3"))
    for domain, widest in ((8, 64), (72, 128), (1, 8)):
        found = layouts(model, domain, widest)
        tp, pp, dp, ep = (np.ravel(part) for part in found[:4])
        assert (tp <= domain).all()
        assert (128 % tp == 0).all()
        assert (256 % ep == 0).all()
        assert (tp * dp * pp <= widest).all()
        assert ((ep == tp * dp) | ((ep == 1) & (dp == 1))).all()
        assert ((pp == 1) | (tp * dp == min(2 ** int(np.log2(domain)), 128))).all()
        assert len({*zip(tp, pp, dp, ep, strict=True)}) == len(tp)
    assert (np.ravel(layouts(model, 8).accelerators) > 8).any()
    dense = layouts(transformer(shipped.model("llama-3.1-70b")), 8, 64)
    assert (np.ravel(dense.dp) == 1).all()
    assert (np.ravel(dense.pp) > 1).any()


def test_prompts_cost_decoding_time_and_batches_too(meshed):
    mesh = meshed("llama-3.1-70b")
    assert (mesh.each >= mesh.alone).all()
    assert (np.diff(mesh.alone, axis=1) >= -1e-12).all()
    assert (np.diff(mesh.batch, axis=1) >= 0).all()
    assert mesh.fits.tolist() == (mesh.needed <= 1).tolist()


def test_more_bandwidth_and_looser_targets_never_serve_less(shipped, meshed, load):
    chip = shipped.accelerator("h200")
    base = meshed("mixtral-8x7b", chip=chip)
    rates = steady_rates(base, load, TARGETS)
    quicker = replace(chip, memory_bandwidth=1.3 * chip.memory_bandwidth)
    nic = 2 * shipped.system("p5en").nic_bandwidth
    for better in (
        meshed("mixtral-8x7b", chip=quicker),
        meshed("mixtral-8x7b", chip=chip, nic_bandwidth=nic),
    ):
        for more, less in zip(steady_rates(better, load, TARGETS), rates, strict=True):
            assert (more >= less * (1 - 1e-12)).all()
    for tight in (TARGETS._replace(tpot=0.012), TARGETS._replace(ttft=0.1), TARGETS._replace(e2e=3.0)):
        for less, more in zip(steady_rates(base, load, tight), rates, strict=True):
            assert (less <= more).all()
    assert (steady_rates(base, load, TARGETS._replace(tpot=0.012))[1] < rates[1]).any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=30))
def test_what_is_kept_is_what_no_other_beats(points):
    table = np.array(points, float)
    kept = not_beaten(*table.T)
    for i, one in enumerate(table):
        beaten = ((table >= one).all(axis=1) & (table > one).any(axis=1)).any()
        equal = [j for j in range(len(table)) if (table[j] == one).all()]
        assert kept[equal].sum() == (0 if beaten else 1), i


def test_the_front_has_what_no_layout_and_batch_beats(meshed, load):
    mesh = meshed("llama-3.1-70b")
    found = front([mesh], load, TARGETS, "p5en", apart=False)
    speed = np.array([p.interactivity for p in found])
    per = np.array([p.tokens_per_accelerator for p in found])
    assert (np.diff(speed) < 0).all()
    assert (np.diff(per) > 0).all()
    right = mesh.fits & (mesh.first <= TARGETS.ttft)
    quick = (1 / mesh.each)[right].ravel()
    much = (mesh.batch / (mesh.each * mesh.accelerators[:, None]))[right].ravel()
    for x, y in zip(quick, much, strict=True):
        assert ((speed >= x * (1 - 1e-12)) & (per >= y * (1 - 1e-12))).any()
    both = front([mesh], load, TARGETS, "p5en")
    assert any(p.prefill is not None for p in both)
    for p in found:
        assert any(
            q.interactivity >= p.interactivity and q.tokens_per_accelerator >= p.tokens_per_accelerator
            for q in both
        )


def test_apart_a_point_pays_for_its_prompts(meshed, load):
    """Accelerators' time of an answer is that of its decoding and that of its prompt."""
    mesh = meshed("llama-3.1-70b")
    answer = float(load.output.mean())
    right = mesh.fits & (mesh.first <= TARGETS.ttft)
    least = (mesh.reading * mesh.accelerators)[right].min()
    for p in front([mesh], load, TARGETS, "p5en"):
        if p.prefill is not None:
            decoding = answer * p.layout.accelerators / (p.interactivity * p.batch)
            assert answer / p.tokens_per_accelerator == pytest.approx(decoding + least)


def test_fixed_lengths_have_a_memory_in_closed_form(shipped):
    """The longest request is all requests; twice as long, twice the cache."""
    system = shipped.system("p5en")
    chip, model = shipped.accelerator(system.accelerator), transformer(shipped.model("llama-3.1-70b"))
    needed = []
    for tokens in (10_000, 20_000, 30_000):
        load = drawn(Workload(1.0, 1.0, Mix(Fixed(tokens - 100), Fixed(100))), 0, 100)
        needed.append(meshes(load, TARGETS, model, system, chip, precision("fp8"))[0].needed[:4])
    assert needed[2] - needed[1] == pytest.approx(needed[1] - needed[0], rel=1e-6)
    assert (needed[1] > needed[0]).all()
