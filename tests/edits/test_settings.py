"""Settings: a flag beats a variable, which beats sake.toml, which beats the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sake_registry.errors import SettingsError
from sake_registry.models.sources import EMBEDDED_MODELS
from sake_registry.settings import (
    EMBEDDED,
    MULTILINGUAL,
    THRESHOLDS,
    Settings,
    find_root,
    load_settings,
)

ANCHORED = THRESHOLDS["embedder"]
METRICS = ("contrast", "euclidean", "cosine", "mahalanobis")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "sake.toml"


def refused(
    root: Path | None,
    flags: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(root, flags, environ or {})
    return raised.value.message


def test_without_anything_the_defaults_hold() -> None:
    assert load_settings(None, {}, {}) == Settings()
    assert load_settings(None, {"model": None, "compile.reg": None}, {}) == Settings()


def test_the_nearer_source_wins(toml: Path) -> None:
    toml.write_text('model = "t"\ndtype = "float16"\n[compile]\nreg = 0.1\nprompts = 10\n')
    environ = {"SAKE_MODEL": "v", "SAKE_COMPILE_REG": "0.2", "SAKE_ROUTER_THRESHOLD": "0.4"}
    flags = {"model": "f", "device": None, "compile.batch_size": 8}
    at_hand = load_settings(toml.parent, flags, environ)
    assert (at_hand.model, at_hand.dtype, at_hand.device) == ("f", "float16", "auto")
    assert (at_hand.compile.reg, at_hand.compile.prompts) == (0.2, 10)
    assert (at_hand.compile.batch_size, at_hand.router.threshold) == (8, 0.4)
    assert load_settings(toml.parent, {}, environ).model == "v"
    assert load_settings(toml.parent, {}, {}).model == "t"
    assert load_settings(None, {}, {}).model == "smollm2-135m"


def test_the_environment_is_the_process_s_own(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text("")
    monkeypatch.setenv("SAKE_TEST_MIN_HOLDOUT", "0.5")
    monkeypatch.setenv("SAKE_TRUST_REMOTE_CODE", "true")
    at_hand = load_settings(toml.parent)
    assert at_hand.test.min_holdout == 0.5
    assert at_hand.trust_remote_code is True


def test_a_variable_may_be_a_list() -> None:
    environ = {"SAKE_COMPILE_TARGETS": " repeat, imagine,", "SAKE_COMPILE_SOURCES": "forced"}
    compile_ = load_settings(None, {}, environ).compile
    assert compile_.targets == ["repeat", "imagine"]
    assert compile_.sources == ["forced"]
    message = refused(None, environ={"SAKE_COMPILE_SOURCES": " , "})
    assert message.startswith("SAKE_COMPILE_SOURCES: ")


def test_what_is_chosen_by_itself_may_be_given(toml: Path) -> None:
    usual = load_settings(None, {}, {})
    assert (usual.compile.reg, usual.compile.complement) == ("auto", "auto")
    assert usual.answer.guard is True
    assert usual.compile.whole is True
    toml.write_text('[compile]\nreg = "10%"\ncomplement = 0.2\n[answer]\nguard = false\n')
    given = load_settings(toml.parent, {}, {"SAKE_COMPILE_WHOLE": "false"})
    assert (given.compile.reg, given.compile.complement) == ("10%", 0.2)
    assert given.answer.guard is False
    assert given.compile.whole is False
    for text, reg in (("auto", "auto"), ("25%", "25%"), ("0.5", 0.5)):
        assert load_settings(None, {}, {"SAKE_COMPILE_REG": text}).compile.reg == reg
    # Each kind of router and metric has a threshold of its own.
    kinds: list[dict[str, object]] = [
        {"router.kind": "anchored", "router.metric": kind} for kind in METRICS
    ]
    bounds = [load_settings(None, kind, {}).router.bound for kind in kinds]
    assert len(set(bounds)) == len(METRICS)
    assert load_settings(None, {"router.threshold": 0.4}, {}).router.bound == 0.4


def test_the_detector_brings_the_one_embedder_that_it_reads() -> None:
    def chosen(**router: object) -> tuple[str, str]:
        settings = Settings.model_validate({"router": router}).router
        return settings.kind, settings.embedder

    assert chosen() == ("detector", MULTILINGUAL)
    assert chosen(threshold=0.9) == ("detector", MULTILINGUAL)
    assert chosen(kind="anchored") == ("anchored", "minilm")
    assert chosen(kind="centre", threshold=4.0) == ("centre", "minilm")
    assert chosen(kind="anchored", embedder=MULTILINGUAL) == ("anchored", MULTILINGUAL)
    assert Settings().router.bound == 0.6
    # The model's own states have a unit of their own, whatever embedder is named beside them.
    own = {"router": {"kind": "anchored", "representation": "hidden", "embedder": MULTILINGUAL}}
    assert Settings.model_validate(own).router.bound == THRESHOLDS["hidden"]["contrast"]
    for flags in ({"router.embedder": "minilm"}, {"router.representation": "hidden"}):
        assert 'kind = "anchored"' in refused(None, flags)
    assert "of the router 'anchored'" in refused(None, {"router.metric": "cosine"})
    above_one = {"router.kind": "detector", "router.threshold": 1.5}
    assert "a probability" in refused(None, above_one)


def test_free_tables_take_any_name(toml: Path) -> None:
    toml.write_text('[aliases]\nmine = "org/model@main"\n[contexts.target]\nloud = "{prompt}!"\n')
    at_hand = load_settings(toml.parent, {}, {})
    assert at_hand.aliases == {"mine": "org/model@main"}
    assert at_hand.contexts.target == {"loud": "{prompt}!"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('modle = "x"', "modle: unknown key; did you mean 'model'?"),
        ("[compile]\nregularisation = 1", "compile.regularisation: unknown key; known: prompts, "),
        ("[compile]\nbatchsize = 1", "compile.batchsize: unknown key; did you mean 'batch_size'?"),
        ("[test]\nmin_holdouts = 1", "test.min_holdouts: unknown key; did you mean 'min_holdout'?"),
        ("[compil]\nreg = 1", "compil: unknown key; did you mean 'compile'?"),
        ("[contexts.targets]\nx = 'y'", "contexts.targets: unknown key; did you mean 'target'?"),
        ("[compile]\nreg = 0", "compile.reg: "),
        ("[compile]\nreg = inf", "compile.reg: "),
        ("[compile]\nreg = nan", "compile.reg: "),
        ('[compile]\nreg = "0%"', "compile.reg: a number above 0, a share like '10%', or 'auto'"),
        ('[compile]\nreg = "some"', "compile.reg: a number above 0, a share like '10%', or 'auto'"),
        (
            "[compile]\ncomplement = 1.5",
            "compile.complement: 0, a number from 1e-6 to 1, or 'auto'",
        ),
        (
            '[compile]\ncomplement = "some"',
            "compile.complement: 0, a number from 1e-6 to 1, or 'auto'",
        ),
        ("[compile]\nmin_score = 2", "compile.min_score: "),
        ("[answer]\nguards = true", "answer.guards: unknown key; did you mean 'guard'?"),
        ('[router]\nmetric = "manhattan"', "router.metric: "),
        ("[compile]\nsources = []", "compile.sources: "),
        ("[compile]\nsources = [1]", "compile.sources.0: "),
        ("compile = 5", "compile: "),
        ("model = 5", "model: "),
        ('dtype = "float8"', "dtype: "),
        ("[test]\nmin_prompts = 1.5", "test.min_prompts: "),
        ("aliases = {a = 5}", "aliases.a: "),
        ('[router]\nkind = "nearest"', "router.kind: "),
        ("[router]\nthreshold = -1", "router.threshold: "),
        ("x = ", "not valid TOML"),
        ("a = 1\na = 2", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_and_the_key_named(toml: Path, text: str, says: str) -> None:
    toml.write_text(text)
    message = refused(toml.parent)
    assert message.startswith(str(toml))
    assert says in message


def test_every_wrong_key_is_named_at_once(toml: Path) -> None:
    toml.write_text('modle = "x"\n[compile]\nreg = -1\nsolver = "x"\n')
    lines = refused(toml.parent).splitlines()
    assert len(lines) == 3


def test_a_file_of_other_bytes_or_a_folder_in_its_place_is_refused(toml: Path) -> None:
    toml.write_bytes(b"model = '\xff'")
    assert "not valid TOML" in refused(toml.parent)
    toml.unlink()
    toml.mkdir()
    assert "cannot be read" in refused(toml.parent)
    assert find_root(toml.parent) != toml.parent


def test_a_wrong_variable_or_flag_is_named_as_it_was_given(toml: Path) -> None:
    toml.write_text("compile = 5")
    assert refused(None, environ={"SAKE_COMPILE_REG": "x"}).startswith("SAKE_COMPILE_REG: ")
    assert refused(None, environ={"SAKE_DTYPE": ""}).startswith("SAKE_DTYPE: ")
    assert refused(None, {"compile.batch_size": 0}).startswith("--batch-size: ")
    assert refused(None, {"dtype": "x"}).startswith("--dtype: ")
    # A table that is none stays what is wrong, whatever else is set in it.
    assert "compile: " in refused(toml.parent, environ={"SAKE_COMPILE_REG": "1"})


def test_the_embedded_models_are_those_that_are_known() -> None:
    assert tuple(EMBEDDED_MODELS) == EMBEDDED


def test_the_root_is_the_nearest_folder_above(toml: Path) -> None:
    toml.write_text("")
    below = toml.parent / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == toml.parent.resolve()
    (toml.parent / "a" / "sake.toml").write_text("")
    assert find_root(below) == (toml.parent / "a").resolve()


@pytest.mark.parametrize("folder", ["/etc", "..", "../other", "edits/../../other"])
def test_edits_lie_below_the_root(toml: Path, folder: str) -> None:
    """Git knows nothing of what lies elsewhere, and a pull request may have written this."""
    toml.write_text(f'edits = "{folder}"\n')
    with pytest.raises(SettingsError, match="edits: a folder below the registry's root"):
        load_settings(toml.parent, {}, {})


def test_the_models_own_states_have_thresholds_but_for_plain_distances() -> None:
    """Those are in the model's own unit: whoever asks for them says how far."""
    for own in ("hidden", "middle"):
        for metric in ("contrast", "cosine", "mahalanobis"):
            chosen = {"kind": "anchored", "representation": own, "metric": metric}
            router = Settings.model_validate({"router": chosen}).router
            assert router.bound == THRESHOLDS[own][metric]
            assert router.bound_of("centre") is None
        for plain in ({"metric": "euclidean"}, {"kind": "centre"}):
            table: dict[str, Any] = {"kind": "anchored", "representation": own, **plain}
            flags = {f"router.{name}": value for name, value in table.items()}
            message = refused(None, flags)
            assert message.startswith("router: ")
            assert "set `threshold`" in message
            assert load_settings(None, flags | {"router.threshold": 7.0}, {}).router.bound == 7


def test_the_default_representation_is_not_written_down() -> None:
    """Keys and bundles of those who never set it are what they were before it could be set."""
    usual = Settings().model_dump()["router"]
    assert "representation" not in usual
    assert Settings.model_validate({"router": usual}) == Settings()
    own = Settings.model_validate({"router": {"kind": "anchored", "representation": "hidden"}})
    assert own.model_dump()["router"]["representation"] == "hidden"


def test_an_edit_of_another_kind_of_router_has_that_kinds_threshold() -> None:
    """What is set for the registry's kind has another unit."""
    router = Settings.model_validate({"router": {"kind": "centre", "threshold": 4.9}}).router
    assert (router.bound, router.bound_of("anchored")) == (4.9, ANCHORED["contrast"])
    cosine = {"kind": "anchored", "metric": "cosine"}
    router = Settings.model_validate({"router": cosine}).router
    assert (router.bound, router.bound_of("centre")) == (ANCHORED["cosine"], ANCHORED["centre"])


@pytest.mark.parametrize(
    ("compile_", "words"),
    [
        ({"solver": "pot", "complement": 0.2}, "knows no complement"),
        ({"complement": 1e-200}, "from 1e-6 to 1"),
        ({"reg": "0%"}, "a share like '10%'"),
        ({"reg": "some"}, "a share like '10%'"),
    ],
)
def test_what_no_map_can_be_fitted_with_is_refused(
    tmp_path: Path, compile_: dict[str, Any], words: str
) -> None:
    (tmp_path / "sake.toml").write_text("", "utf-8")
    flags = {f"compile.{name}": value for name, value in compile_.items()}
    with pytest.raises(SettingsError, match=words):
        load_settings(tmp_path, flags, {})


ASKING = '[trust]\npolicy = "require"\nkeys = ["keys/release.pub"]\n'
LAX = '[trust]\npolicy = "off"\nexpired = "warn"\nkeys = ["keys/evil.pub"]\n'


@pytest.mark.parametrize(
    ("text", "environ", "policy", "keys"),
    [
        (ASKING, {}, "require", ["keys/release.pub"]),
        (ASKING, {"SAKE_TRUST": "off"}, "require", ["keys/release.pub"]),
        (ASKING, {"SAKE_TRUST": "warn", "SAKE_TRUST_KEYS": "/k.pub"}, "require", ["/k.pub"]),
        (LAX, {"SAKE_TRUST": "require", "SAKE_TRUST_KEYS": "/a.pub, b.pub"}, "require",
         ["/a.pub", "b.pub"]),
        (LAX, {}, "off", ["keys/evil.pub"]),
        ("", {"SAKE_TRUST": "warn", "SAKE_TRUST_KEYS": "/k.pub"}, "warn", ["/k.pub"]),
    ],
)  # fmt: skip
def test_a_repository_makes_trust_stricter_and_never_weaker(
    toml: Path, text: str, environ: dict[str, str], policy: str, keys: list[str]
) -> None:
    toml.write_text(text)
    settings = load_settings(toml.parent, {}, environ)
    assert settings.trust.policy == policy
    assert settings.trust.expired == ("warn" if text == LAX and not environ else "refuse")
    paths = settings.trusted(toml.parent).keys
    below = Path() if "SAKE_TRUST_KEYS" in environ else toml.parent
    assert paths == tuple(below / key for key in keys)


KEYLESS = """
[trust]
policy = "require"
keys = ["keys/release.pub"]
identities = [{ identity = "https://evil/flow@main", issuer = "https://evil" }]
root = "keys/root.json"
"""
MINE = "https://mine/flow@main https://issuer"


@pytest.mark.parametrize(
    ("environ", "keys", "identities", "root"),
    [
        ({}, ["./keys/release.pub"], ["https://evil/flow@main"], "./keys/root.json"),
        # What a machine says of whose signatures count, it says alone: what proves it, too.
        ({"SAKE_TRUST_IDENTITIES": MINE}, [], ["https://mine/flow@main"], None),
        ({"SAKE_TRUST_KEYS": "a.pub"}, ["a.pub"], [], None),
        ({"SAKE_TRUST": "require", "SAKE_TRUST_IDENTITIES": f"{MINE}, me@mine https://two",
          "SAKE_TRUST_KEYS": "a.pub"}, ["a.pub"], ["https://mine/flow@main", "me@mine"], None),
        ({"SAKE_TRUST": "require", "SAKE_TRUST_IDENTITIES": MINE, "SAKE_TRUST_ROOT": "/r.json"},
         [], ["https://mine/flow@main"], "/r.json"),
        # The machine's root proves what the registry names.
        ({"SAKE_TRUST_ROOT": "/r.json"}, ["./keys/release.pub"], ["https://evil/flow@main"],
         "/r.json"),
    ],
)  # fmt: skip
def test_identities_and_their_root_count_as_keys_do(
    toml: Path, environ: dict[str, str], keys: list[str], identities: list[str], root: str | None
) -> None:
    toml.write_text(KEYLESS)
    found = load_settings(toml.parent, {}, environ).trusted(toml.parent)

    def place(name: str) -> Path:
        return toml.parent / name[2:] if name.startswith("./") else Path(name)

    assert found.keys == tuple(map(place, keys))
    assert [one.identity for one in found.identities] == identities
    assert found.root == (root and place(root))


def test_an_identity_that_is_none_is_refused() -> None:
    for wrong in ("me@mine", "me@mine https://one https://two"):
        said = refused(None, environ={"SAKE_TRUST_IDENTITIES": wrong})
        assert said.startswith("SAKE_TRUST_IDENTITIES: 'IDENTITY ISSUER' is expected")
    with pytest.raises(SettingsError, match=r"trust\.identities"):
        load_settings(None, {"trust.identities": [{"identity": "a b", "issuer": "c"}]}, {})


@pytest.mark.parametrize(
    ("text", "environ", "why"),
    [
        (ASKING, {"SAKE_TRUST": "require"}, "SAKE_TRUST=require does not say whose"),
        (LAX, {"SAKE_TRUST": "warn", "SAKE_TRUST_KEYS": ""}, "SAKE_TRUST=warn does not say whose"),
        ('[trust]\npolicy = "warn"\n', {}, "trust.policy is 'warn', and nothing says whose"),
        (ASKING.replace("keys/", "../"), {}, "trust.keys: '../release.pub' leads out of the"),
        (KEYLESS.replace("keys/root", "../root"), {}, "trust.root: '../root.json' leads out of"),
        (KEYLESS, {"SAKE_TRUST": "require"}, "SAKE_TRUST=require does not say whose"),
    ],
)
def test_who_asks_for_signatures_says_whose(
    toml: Path, text: str, environ: dict[str, str], why: str
) -> None:
    toml.write_text(text)
    with pytest.raises(SettingsError, match=why):
        load_settings(toml.parent, {}, environ).trusted(toml.parent)


def test_code_is_trusted_apart_from_signatures() -> None:
    environ = {"SAKE_TRUST_REMOTE_CODE": "true", "SAKE_TRUST": "warn", "SAKE_TRUST_EXPIRED": "warn"}
    settings = load_settings(None, {}, environ)
    assert settings.trust_remote_code
    assert (settings.trust.policy, settings.trust.expired) == ("warn", "warn")
    assert refused(None, environ={"SAKE_TRUST": "maybe"}).startswith("SAKE_TRUST: ")
