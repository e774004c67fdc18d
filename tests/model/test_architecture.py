"""Building transformers from architectures, and the errors on the way."""

from pathlib import Path

import pytest

import armillary
from armillary.catalog.models import read_models
from armillary.errors import CatalogError, InputError
from armillary.model import Architecture, architecture, customise, transformer
from armillary.model.transformer import Attention, LatentAttention, Mamba2, Mlp, Moe

RECORDS = read_models(sorted((Path(armillary.__file__).parent / "catalog" / "data").glob("models*.toml")))
DENSE = {"layers": 4, "hidden": 64, "vocab": 100, "heads": 4, "ffn": 256}


def test_every_record_builds_with_its_layers() -> None:
    for record in RECORDS.values():
        model = transformer(record)
        assert model.num_layers == len(model.layers()) == record.architecture["layers"]
        assert hash(model) == hash(transformer(record))


def test_hybrid_patterns_have_a_letter_a_layer() -> None:
    hybrids = [r for r in RECORDS.values() if r.architecture.get("blocks")]
    assert len(hybrids) >= 5
    for record in hybrids:
        assert len(str(record.architecture["blocks"])) == record.architecture["layers"]


def test_deepseek_v3_starts_dense() -> None:
    model = transformer(RECORDS["deepseek-v3"])
    (dense, three), (sparse, rest) = model.pattern
    assert (three, rest) == (3, 58)
    assert isinstance(dense.feed_forward, Mlp)
    assert isinstance(sparse.feed_forward, Moe)
    assert isinstance(sparse.mixer, LatentAttention)


def test_interleaved_experts_and_windows() -> None:
    layers = transformer(RECORDS["llama-4-maverick"]).layers()
    assert [isinstance(layer.feed_forward, Moe) for layer in layers[:4]] == [False, True, False, True]
    windows = [layer.mixer.window for layer in layers[:4] if isinstance(layer.mixer, Attention)]
    assert windows == [8192, 8192, 8192, None]


def test_prediction_layer_of_a_hybrid_joins_attention_and_experts() -> None:
    model = transformer(RECORDS["nemotron-3-super"])
    layer = model.mtp_layer()
    assert layer is not None
    assert isinstance(layer.mixer, Attention)
    assert isinstance(layer.feed_forward, Moe)
    assert any(isinstance(one.mixer, Mamba2) for one in model.layers())
    assert transformer(RECORDS["llama-3.1-8b"]).mtp_layer() is None


def test_customise_keeps_the_rest() -> None:
    model = customise(RECORDS["deepseek-v3"], name="next", layers=96, hidden=12288, experts=512)
    assert (model.name, model.num_layers, model.hidden) == ("next", 96, 12288)
    assert model.pattern[0][1] == 3
    block = model.pattern[1][0].feed_forward
    assert isinstance(block, Moe)
    assert (block.experts, block.top_k) == (512, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden": 12}, "unknown field 'hiden'; did you mean 'hidden'"),
        ({"layers": 0}, "layers must be a whole number from 1 to 10000. Got 0 instead."),
        ({"layers": 4.5}, "layers must be a whole number. Got 4.5 instead."),
        ({"tied": 1}, "tied must be true or false. Got 1 instead."),
        ({"kv_heads": 3}, "heads must be a multiple of kv_heads. Got 4 and 3 instead."),
        ({"heads": 5}, "hidden 64 does not divide by heads 5; give head_dim"),
        ({"heads": 0}, "softmax attention needs heads"),
        ({"ffn": 0}, "dense feed-forward layers needs ffn"),
        ({"mixers": "FX"}, "mixers must be made of the letters F S L M. Got 'FX' instead."),
        ({"mixers": ""}, "mixers must be made of the letters"),
        ({"mixers": "S"}, "a sliding window (S in mixers) needs window"),
        ({"mixers": "FL"}, "linear attention (L) needs linear_key_heads"),
        ({"blocks": "M*"}, "Mamba-2 (M) needs mamba_heads"),
        ({"blocks": "*E"}, "mixture of experts (E in blocks) needs experts"),
        ({"experts": 8, "moe_ffn": 64, "top_k": 9}, "top_k must not be above experts. Got 9 and 8 instead."),
        ({"experts": 8}, "mixture of experts (experts) needs top_k"),
        ({"first_dense_layers": 5}, "first_dense_layers 5 is above layers 4"),
        ({"kv_rank": 8}, "latent attention (kv_rank) needs nope_dim"),
        ({"kv_heads": -4}, "kv_heads must be a whole number from 0 to 1000000000. Got -4 instead."),
    ],
)
def test_contradictions_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match="model 'small'") as caught:
        architecture("small", {**DENSE, **changes})
    assert message in str(caught.value)


def test_missing_fields_are_named() -> None:
    with pytest.raises(InputError, match="lacks hidden, vocab; every model needs layers, hidden, vocab"):
        architecture("small", {"layers": 4})


def test_an_architecture_by_hand() -> None:
    model = transformer(
        Architecture(layers=2, hidden=64, vocab=10, heads=4, ffn=8, mixers="SF", window=16), "x"
    )
    assert [count for _, count in model.pattern] == [1, 1]


def test_catalog_names_do_not_collide() -> None:
    def fold(name: str) -> str:
        return "".join(c for c in name.casefold() if c not in " _-.")

    owners: dict[str, str] = {}
    for record in RECORDS.values():
        for name in (record.name, *record.aliases):
            assert owners.setdefault(fold(name), record.name) == record.name


def test_every_fact_says_where_it_comes_from() -> None:
    import tomllib

    text = (Path(armillary.__file__).parent / "catalog" / "data" / "models-sources.toml").read_text()
    sources = tomllib.loads(text)["sources"]
    for record in RECORDS.values():
        assert record.facts
        for fact in record.facts.values():
            assert fact.source in sources
            assert fact.date >= "2019"


VALID = '[models.a]\nsource = "me"\ndate = "2026-01"\nkind = "assumed"\n'
TABLE = "[models.a.architecture]\nlayers = 2\nhidden = 64\nvocab = 10\nheads = 4\nffn = 8\n"


def test_own_file_adds_and_overrides(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(VALID + "parameters = 1e9\n" + TABLE)
    second.write_text(
        VALID.replace("models.a", "models.b") + 'like = "a"\n[models.b.architecture]\nlayers = 3\n'
    )
    records = read_models([first, second])
    assert transformer(records["b"]).num_layers == 3
    assert records["b"].parameters_published == 0
    assert records["a"].facts["parameters"].value == 1e9
    second.write_text(VALID + TABLE.replace("layers = 2", "layers = 5"))
    assert transformer(read_models([first, second])["a"]).num_layers == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[models", "is not valid TOML"),
        ("models = 3", "models must be a table of entries"),
        ("[models]\na = 3", "models.a: must be a table"),
        (VALID + 'tilte = "x"\n' + TABLE, "unknown key 'tilte'; did you mean 'title'"),
        (VALID.replace('kind = "assumed"\n', "") + TABLE, "lacks kind"),
        (VALID.replace("assumed", "guess") + TABLE, "kind: must be one of datasheet"),
        (VALID, "needs an architecture table"),
        (VALID + 'like = "b"\n' + TABLE, "like: no model 'b'"),
        (VALID + 'like = "a"\n' + TABLE, "goes in a circle: a -> a"),
        (VALID + 'parameters = "70B"\n' + TABLE, "must be a number of parameters above zero"),
        (VALID + "parameters = nan\n" + TABLE, "must be a number of parameters above zero"),
        (VALID + "aliases = [1]\n" + TABLE, "aliases: must be a list of texts"),
        (VALID + "title = 1\n" + TABLE, "title: must be text"),
        (VALID + "architecture = 1\n", "architecture: must be a table"),
        (VALID + TABLE + "head_dim = 1.5\n", "head_dim: must be a whole number"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(CatalogError) as caught:
        read_models([path])
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        read_models([tmp_path / "none.toml"])
