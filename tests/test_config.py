"""Every shipped configuration composes and passes validation; wrong ones are told all their faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from depo_lightning.choices import EfficiencyForm
from depo_lightning.config import Config, LoggerKind
from depo_lightning.errors import ConfigError
from depo_lightning.validation import evaluation, validate

CONF = Path(__file__).parents[1] / "conf"
ADDED = {"experiment", "sweeps"}  # groups that are not in the defaults
PARTS = {"specialise", "prompts"}  # groups that others take in
FILES = [path for path in CONF.glob("*/*.yaml") if path.parent.name not in PARTS]  # conf/sweeps is a link to sweeps/
CHOICES = sorted(f"{'+' if p.parent.name in ADDED else ''}{p.parent.name}={p.stem}" for p in FILES)
NEEDS_A_GPU = {"trainer=gpu", "trainer=ddp", "trainer=fsdp"}
NEEDS_WEIGHTS = {"model=hf", "model=qwen2_5_7b", "model=llama3_1_8b", "model=smollm2"}  # from a hub or an extra
NEEDS_A_FILE = {"evaluation=local", "evaluation=simuleq"}
NEEDS_MORE = NEEDS_A_GPU | NEEDS_WEIGHTS | NEEDS_A_FILE  # than these tests have
NEEDS_A_NAME = {"model=hf": "model.path=a/b"} | {
    f"{group}={kind}": f"{group}.model=any"
    for group, kinds in (("teacher", ("vllm", "local")), ("rephraser", ("openai", "local")))
    for kind in kinds
}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_under_conf_composes(choice: str, compose_config: Callable[..., Config]) -> None:
    config = compose_config(choice, *([NEEDS_A_NAME[choice]] if choice in NEEDS_A_NAME else []))
    if choice not in NEEDS_MORE:
        validate(config)


def test_the_paper_is_the_default(compose_config: Callable[..., Config]) -> None:
    config = compose_config()
    assert (config.alpha1, config.alpha2, config.depo.beta) == (3, 3, 0.2)
    assert (config.depo.desirable_weight, config.depo.undesirable_weight) == (1, 1)
    assert config.efficiency.form is EfficiencyForm.depo
    thresholds = vars(config.thresholds)
    assert [thresholds[name] for name in ("kappa0", "kappa1", "kappa2", "step_cut")] == [0.9, 0.9, 0.7, 7]


def test_several_sets_of_questions_at_once(compose_config: Callable[..., Config]) -> None:
    assert compose_config().evaluation == {}
    config = compose_config("evaluation=[gsm8k,math,arithmetic]", "evaluation.gsm8k.limit=50")
    assert list(config.evaluation) == ["gsm8k", "math", "arithmetic"]
    assert config.evaluation["gsm8k"].limit == 50
    assert config.evaluation["math"].limit is None
    validate(config)


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("path=nowhere.jsonl", "nowhere.jsonl: cannot be read"),
        ("generator=riddles", "generator='riddles': choose from"),
        ("limit=1", "limit=1: must be at least 2"),
        ("limit=null", "say how many"),
        ("prompt=Go", "must hold {question}"),
        ("max_new_tokens=4096", "no answer fits"),
        ("max_context=9999", "positions"),
        ("temperature=-1", "0 \\(greedy\\) or more"),
    ],
)
def test_faults_of_questions_are_named(override: str, word: str, compose_config: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=word):
        validate(compose_config("evaluation=arithmetic", f"evaluation.arithmetic.{override}"))


def test_what_questions_need_is_named(compose_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "find_spec", lambda name: None)
    validate(compose_config())
    with pytest.raises(ConfigError) as caught:
        validate(compose_config("evaluation=gsm8k"))
    assert len(caught.value.faults) == 2
    assert all('pip install -e ".[math]"' in fault for fault in caught.value.faults)


def test_zero_is_a_seed(compose_config: Callable[..., Config]) -> None:
    assert compose_config("seed=0").seed == 0


def test_choices_are_typed(compose_config: Callable[..., Config]) -> None:
    assert compose_config("logger=none").logger.kind is LoggerKind.none


def test_all_faults_are_reported_at_once(compose_config: Callable[..., Config]) -> None:
    config = compose_config(
        "thresholds.kappa1=0.95", "depo.beta=0", "env.levels=[GoToNowhere]", "stages=[colect]", "rollout.test_tasks=1"
    )
    with pytest.raises(ConfigError) as caught:
        validate(config)
    text = str(caught.value)
    for word in ("kappa1=0.95", "depo.beta=0", "GoToNowhere", "colect", "rollout.test_tasks=1"):
        assert word in text
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("depo.batch_size=1", "at least 2"),
        ("alpha1=-1", "0 or more"),
        ("seed=4294967296", "seed"),
        ("bc.warmup=1", "bc.warmup"),
        ("rollout.max_context=64", "no turn fits"),
        ("trainer.precision=foo", "trainer.precision"),
        ("trainer.precision=bf16-true", "lose most small updates"),
        ("trainer.devices=2", "write trainer=ddp"),
        ("trainer.devices=0", "at least 1"),
        ("trainer.nodes=0", "at least 1"),
        ("trainer.accumulate=0", "at least 1"),
        ("trainer.checkpoint_every=-1", "null for no checkpoints"),
        ("trainer.strategy=fsdp", "needs GPUs"),
        ("trainer.strategy=fsdp", "packing=padding"),
        ("trainer.strategy=fsdp", "for one write trainer=gpu"),
        ("trainer.pass_tokens=0", "at least 1"),
        ("trainer.threads=100000000", "must be in 1 to 1024"),
        ("trainer.flex_attention=true", "no backward pass on a CPU"),
        ("depo.lora.rank=0", "depo.lora"),
        ("depo.lora.targets='['", "depo.lora.targets='[': is no regular expression"),
        ("model.name=foo", "model.name"),
        ("alpha1=nan", "finite"),
        ("thresholds.kappa2=0.95", "kappa2 ≤ kappa1"),
        ("policies=[depo]", "must hold bc"),
        ("search.trajectories=nowhere.jsonl", "no such file"),
        ("search.trajectories=[nowhere.jsonl,other.jsonl]", "search.trajectories='other.jsonl': no such file"),
        ("search.trajectories=[]", "names no file"),
        ("search.trajectories=3", "must be a path, or a list of paths"),
        ("rollout.split=tset", "rollout.split"),
        ("model.heads=5", "multiple of heads"),
        ("teacher.noise=1.5", "teacher.noise"),
        ("filtered_bc.fraction=0", "filtered_bc.fraction"),
        ("rollout.max_context=100000", "positions"),
        ("evaluation=simuleq", "evaluation.simuleq.path=null: give a JSONL"),
        ("teacher=vllm", "teacher.model=None: must name the model that the server serves"),
        ("rephraser=local", "rephraser.model=None: must name the model in a directory"),
        ("teacher=openai teacher.base_url=api.openai.com", "must be an http or https URL"),
        ("teacher=openai teacher.base_url=https://me:secret@host/v1", "base_url: holds a user or password; remove it"),
        ("teacher=openai teacher.api_key_env=sk-secret", "must be the name of an environment variable"),
        ("teacher=deepseek_v3 teacher.limits.budget_cost=5", "needs prices"),
        ("teacher=openai teacher.limits.timeout_s=0", "timeout_s=0.0: must be a positive number"),
        ("teacher=openai teacher.prompts.system=Play", "prompts.system: must hold {instructions}"),
        ("rephraser=gpt_4_1_mini rephraser.prompts.question=Hm", "must hold {action}, {thought}"),
        (
            "teacher=openai teacher.prompts.examples=[{user:Look,assistant:Hm}]",
            "[0].assistant='Hm': must be one",
        ),
        ("teacher=openai teacher.max_tokens_field=tokens", "max_completion_tokens"),
    ],
)
def test_a_broken_rule_is_named(override: str, word: str, compose_config: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=re.escape(word)) as caught:
        validate(compose_config(*override.split()))
    assert "secret" not in str(caught.value)


def test_several_nodes_are_started_by_torchrun(
    compose_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose_config("trainer=ddp", "trainer.accelerator=cpu", "trainer.nodes=2")
    with pytest.raises(ConfigError, match=r"torchrun --nnodes=2 --nproc-per-node=2"):
        validate(config)
    told = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    validate(config)
    config.trainer.nodes = 1
    with pytest.raises(ConfigError, match="torchrun started 4 processes"):
        validate(config)
    config.trainer.nodes, config.sweep = 2, "multirun/one"
    with pytest.raises(ConfigError, match="torchrun runs one job"):
        validate(config)


def test_webshop_has_the_papers_thresholds(compose_config: Callable[..., Config]) -> None:
    thresholds = vars(compose_config("env=webshop").thresholds)
    assert [thresholds[name] for name in ("kappa0", "kappa1", "kappa2", "step_cut")] == [1.0, 0.9, 0.7, None]


def test_a_mixture_has_the_papers_thresholds_for_each_environment(compose_config: Callable[..., Config]) -> None:
    config = compose_config("env=babyai_webshop")
    for name, part in vars(config.thresholds)["parts"].items():
        alone = vars(compose_config(f"env={name}").thresholds)
        names = ("kappa0", "kappa1", "kappa2", "step_cut")
        assert [vars(part)[name] for name in names] == [alone[name] for name in names]
    validate(config)
    validate(compose_config("env=babyai_webshop", "thresholds=relative"))


def test_faults_of_a_mixture_are_named_by_their_place(compose_config: Callable[..., Config]) -> None:
    config = compose_config(
        "env=babyai_webshop",
        "env.parts.babyai.levels=[GoToNowhere]",
        "env.parts.webshop.data=nowhere",
        "thresholds.parts.webshop.kappa1=0.6",
        "thresholds.parts.babyai.seed=-1",
        "teacher.parts.webshop.noise=2",
        "+teacher.parts.chess.noise=0.1",
    )
    config.evaluation["webshop"] = compose_config("evaluation=arithmetic").evaluation["arithmetic"]
    with pytest.raises(ConfigError) as caught:
        validate(config)
    told = str(caught.value)
    for words in (
        "env.parts.babyai.levels",
        "env.parts.webshop.data",
        "thresholds.parts.webshop.kappa2=0.7, kappa1=0.6",
        "thresholds.parts.babyai.seed=-1",
        "teacher.parts.webshop.noise=2",
        "teacher.parts.chess: env is no mixture with such a part",
        "env.parts.webshop: is the name of a set of questions too",
    ):
        assert words in told
    assert len(caught.value.faults) == 7


def test_an_environment_without_thresholds_is_named(compose_config: Callable[..., Config]) -> None:
    config = compose_config("env=babyai_webshop", "~thresholds.parts.webshop")
    with pytest.raises(ConfigError, match="has no rules for webshop"):
        validate(config)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["thresholds=babyai"], "thresholds.kind=absolute: one set of bounds for babyai and webshop"),
        (["rollout.test_tasks=3"], "rollout.test_tasks=3: 2 environments take them in turn; must be at least 4"),
        (["search.tasks=1"], "search.tasks=1: 2 environments"),
        (["rollout.validation_tasks=1"], "rollout.validation_tasks=1: 2 environments"),
        (["teacher.parts.webshop.detour=0.97"], "teacher.parts.webshop: noise=0.04 and detour=0.97 sum to more than 1"),
        (["teacher.noise=0.9"], "teacher: noise=0.9 and detour=0.15 sum to more than 1"),
        (["teacher.parts.webshop.noise=high"], "teacher.parts.webshop.noise=high: must be in [0, 1]"),
    ],
)
def test_what_only_several_environments_need(
    overrides: list[str], words: str, compose_config: Callable[..., Config]
) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(compose_config("env=babyai_webshop", *overrides))
    assert len(caught.value.faults) == 1
    assert words in str(caught.value)


def test_thresholds_of_a_mixture_hold_for_one_of_its_environments(compose_config: Callable[..., Config]) -> None:
    validate(compose_config("env=babyai", "thresholds=babyai_webshop"))
    validate(compose_config("env=babyai_webshop", "~env.parts.webshop", "~teacher.parts.webshop", "thresholds=babyai"))


@pytest.mark.parametrize("env", ["babyai", "webshop", "babyai_webshop"])
def test_a_language_model_teaches_in_every_environment(env: str, compose_config: Callable[..., Config]) -> None:
    validate(compose_config(f"env={env}", "teacher=vllm", "teacher.model=any"))
