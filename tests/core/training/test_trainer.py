"""The trainer on a tiny CLIP: replicas against solo runs, resumption, failures, a golden loss curve.

The golden curve pins the numbers of the whole training path. Where a change moves them on purpose, raise
`NUMERICS_VERSION` in core/recipes.py and write the file again with

    DUALPT_WRITE_GOLDEN=1 python -m pytest tests/core/training/test_trainer.py -k golden
"""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet
from dualpt.core.errors import UserError
from dualpt.core.training import trainer
from dualpt.core.training.alignment import LlmAlignment, LocalScorer
from dualpt.core.training.arguments import InferenceWeights, LossWeights, PromptOptions, TrainingData
from dualpt.core.training.checkpoint import as_numbered, knobs_of
from dualpt.core.training.fit import epoch_batches
from dualpt.core.training.optim import SGDOptions
from tests.core.training.scorers import local_scorer

GOLDEN = Path(__file__).with_name("golden_loss_curve.json")
JOINT_WIDTH, PATCHES, SENTENCES, SHOTS = 32, 6, 3, 4


GROUPS = {
    "prompt": PromptOptions,
    "loss": LossWeights,
    "llm": LlmAlignment,
    "local_scorer": LocalScorer,
    "sgd": SGDOptions,
}
DATA = {"text", "train_images", "train_labels", "samples", "val", "val_samples", "tests"}


def train(**arguments):
    """`trainer.train` from flat knobs by the configuration's names, as `arguments` holds them."""
    arguments = {"global_weight": [1.0] * len(arguments["seeds"])} | arguments
    names = {name: [field.name for field in dataclasses.fields(group)] for name, group in GROUPS.items()}
    made = {name: group(**{k: arguments[k] for k in names[name] if k in arguments}) for name, group in GROUPS.items()}
    data = TrainingData(**{name.removeprefix("train_"): arguments[name] for name in DATA})
    at_test = {name: arguments[f"inference_{name}"] for name in ("local_weight", "description_weight")}
    inference = InferenceWeights(**at_test, global_weight=[1.0] * len(arguments["seeds"]))
    gathered = {knob for knobs in names.values() for knob in knobs} | DATA | {f"inference_{name}" for name in at_test}
    given = {name: value for name, value in arguments.items() if name not in gathered}
    return trainer.train(given.pop("tower"), data, **made, inference=inference, **given)


@dataclasses.dataclass
class Features:
    """Training images whose epochs differ a little, as augmented views do."""

    images: ImageFeatures

    def batch(self, rows, epoch):
        images = self.images.rows(rows.flatten())
        shift = 0.01 * torch.sin(torch.tensor(float(epoch)))
        global_features = F.normalize(images.global_features + shift, dim=-1)
        return global_features.view(*rows.shape, -1), images.local_features.view(*rows.shape, PATCHES, -1)


@pytest.fixture(scope="module")
def arguments(tower, name_tokens):
    """Arguments of `train` for one replica on a small, learnable problem."""
    generator = torch.Generator().manual_seed(7)
    n_classes = len(name_tokens)
    centres = torch.randn(n_classes, JOINT_WIDTH, generator=generator)
    labels = torch.arange(n_classes).repeat_interleave(2 * SHOTS)
    noise = torch.randn(len(labels), 1 + PATCHES, JOINT_WIDTH, generator=generator)
    features = F.normalize(centres[labels][:, None] + 0.8 * noise, dim=-1)
    images = ImageFeatures(features[:, 0], features[:, 1:], labels)
    descriptions = centres[:, None] + torch.randn(n_classes, SENTENCES, JOINT_WIDTH, generator=generator)
    mask = torch.arange(SENTENCES) < torch.tensor([3, 1, 2, 3, 3, 2])[:, None]
    text = ClassText(
        name_tokens,
        descriptions=F.normalize(descriptions, dim=-1) * mask[..., None],
        description_mask=mask,
        template=F.normalize(centres, dim=-1),
    )
    return {
        "tower": tower,
        "text": text,
        "train_images": Features(images),
        "train_labels": labels,
        "samples": torch.arange(0, len(labels), 2)[None],
        "val": images,
        "val_samples": torch.arange(1, len(labels), 4)[None],
        "tests": {"test": TestSet(images, text)},
        "seeds": [1],
        "llm_weight": [1.0],
        "local_weight": [1.0],
        "learning_rate": [0.05],
        "inference_local_weight": [1.0],
        "inference_description_weight": [0.0],
        "context_length": 4,
        "n_prompts": 2,
        "class_token_position": "end",
        "class_specific": False,
        "init": None,
        "init_std": 0.02,
        "llm_form": "cosine",
        "llm_target": "descriptions",
        "local_form": "ot",
        "topk": 2,
        "attention_beta": 10.0,
        "ot_epsilon": 0.1,
        "ot_iterations": 10,
        "ot_marginals": "uniform",
        "ot_relaxation": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "warmup_learning_rate": 1e-5,
        "batch_size": 10,
        "epochs": 4,
    }


REPLICAS = {
    "seeds": [1, 2, 1],
    "llm_weight": [1.0, 0.0, 4.0],
    "local_weight": [0.5, 2.0, 0.0],
    "learning_rate": [0.05, 0.02, 0.1],
    "inference_local_weight": [1.0, 0.0, 0.5],
    "inference_description_weight": [0.0, 0.3, 1.0],
}


def together(arguments, **changes):
    """Three replicas with samples of their own."""
    n = len(arguments["train_labels"])
    samples = torch.stack([torch.arange(n).roll(r)[::2] for r in range(3)])
    return arguments | REPLICAS | {"samples": samples, "val_samples": samples[:, ::3]} | changes


def alone(arguments, replica):
    """One of them, as a run of its own."""
    per_replica = (*REPLICAS, "samples", "val_samples")
    return arguments | {name: arguments[name][replica : replica + 1] for name in per_replica}


def assert_same(one, other, tolerance):
    assert one.loss_curve == pytest.approx(other.loss_curve, abs=tolerance)
    largest = max(1.0, other.contexts.abs().max().item())  # float error grows with the values, which reach 4
    assert (one.contexts - other.contexts).abs().max() <= tolerance * largest
    assert one.val.accuracy == other.val.accuracy
    assert torch.equal(one.tests["test"].predictions, other.tests["test"].predictions)
    assert one.tests["test"].plan_entropy == pytest.approx(other.tests["test"].plan_entropy, abs=tolerance)


@pytest.mark.parametrize("llm_form", ["cosine", "ot", "contrastive", "kl"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"local_form": "topk", "class_token_position": "middle"},
        {"local_form": "attention", "class_specific": True, "n_prompts": 1},
        {"local_form": "ot", "ot_marginals": "unbalanced", "init": "a photo of a"},
        {"llm_gradient": "projected", "llm_target": "template", "init": "a photo", "init_at": "end"},
    ],
    ids=str,
)
def test_each_replica_equals_its_solo_run(arguments, llm_form, changes):
    shared = together(arguments, llm_form=llm_form, epochs=3, **changes)
    for replica, result in enumerate(train(**shared)):
        (solo,) = train(**alone(shared, replica))
        assert_same(result, solo, 1e-5)


def test_training_learns(arguments):
    (result,) = train(**(arguments | {"epochs": 30}))
    assert result.loss_curve[-1] < 0.8 * result.loss_curve[0]
    assert result.tests["test"].accuracy > 3 * 100 / len(arguments["text"])  # three times chance
    assert result.failure is None
    assert 0 < result.tests["test"].plan_entropy <= 1
    assert len(result.tests["test"].per_class) == len(arguments["text"])
    assert result.val.count == arguments["val_samples"].shape[1]
    assert result.contexts.dtype == torch.float32


KNOBS = {
    "context_length": 3,
    "n_prompts": 1,
    "class_token_position": "front",
    "class_specific": True,
    "init": "a photo",
    "init_std": 0.1,
    "llm_weight": [0.5],
    "llm_form": "kl",
    "llm_target": "template",
    "llm_gradient": "projected",
    "local_weight": [0.5],
    "local_form": "topk",
    "ot_epsilon": 0.3,
    "ot_iterations": 1,
    "ot_marginals": "unbalanced",
    "learning_rate": [0.01],
    "momentum": 0.5,
    "weight_decay": 0.5,
    "warmup_learning_rate": 1e-2,
    "batch_size": 5,
    "seeds": [2],
}


@pytest.fixture(scope="module")
def base_curve(arguments):
    return train(**(arguments | {"epochs": 3}))[0].loss_curve


@pytest.mark.parametrize("knob", KNOBS)
def test_no_knob_is_dead(arguments, base_curve, knob):
    (changed,) = train(**(arguments | {"epochs": 3, knob: KNOBS[knob]}))
    assert changed.loss_curve != base_curve


@pytest.mark.parametrize(
    ("form", "knob", "values"),
    [
        ({"local_form": "topk"}, "topk", (1, 3)),
        ({"local_form": "multiscale"}, "topk_step", (1, 4)),
        ({"local_form": "attention"}, "attention_beta", (1.0, 50.0)),
        ({"ot_marginals": "unbalanced"}, "ot_relaxation", (0.01, 10.0)),
    ],
)
def test_knobs_of_one_form_are_alive_in_it(arguments, form, knob, values):
    one, other = (train(**(arguments | form | {"epochs": 2, knob: value}))[0].loss_curve for value in values)
    assert one != other


@pytest.mark.parametrize("weight", ["inference_local_weight", "inference_description_weight"])
def test_inference_weights_change_predictions_and_not_training(arguments, weight):
    one, other = (train(**(arguments | {"epochs": 2, weight: [value]}))[0] for value in (0.0, 50.0))
    assert one.loss_curve == other.loss_curve
    assert not torch.equal(one.tests["test"].predictions, other.tests["test"].predictions)


def test_golden_loss_curve(arguments):
    results = train(**together(arguments, epochs=5))
    curves = [result.loss_curve for result in results]
    if os.environ.get("DUALPT_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(curves, indent=2) + "\n")
    for curve, golden in zip(curves, json.loads(GOLDEN.read_text()), strict=True):
        assert curve == pytest.approx(golden, abs=1e-5)


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_killed_run_continues_with_the_same_numbers(arguments, tmp_path, after):
    shared = together(arguments, epochs=6)
    uninterrupted = train(**shared)

    def kill(progress):
        if progress.epoch == after:
            raise Killed

    checkpoint = {"checkpoint": tmp_path / "checkpoint", "checkpoint_every": 2}
    with pytest.raises(Killed):
        train(**shared, **checkpoint, report=kill)
    seen = []
    resumed = train(**shared, **checkpoint, report=lambda progress: seen.append(progress.epoch))
    assert seen == list(range(after // 2 * 2 + 1, 7))
    for one, other in zip(resumed, uninterrupted, strict=True):
        assert one.loss_curve == other.loss_curve
        assert torch.equal(one.contexts, other.contexts)


def test_a_checkpoint_of_other_arguments_is_not_continued(arguments, tmp_path, caplog):
    checkpoint = {"checkpoint": tmp_path / "checkpoint", "checkpoint_every": 1}
    train(**arguments, **checkpoint)
    changed = arguments | {"momentum": 0.5}
    (result,) = train(**changed, **checkpoint)
    (expected,) = train(**changed)
    assert "other arguments" in caplog.text
    assert result.loss_curve == expected.loss_curve


def test_a_knob_added_later_leaves_earlier_checkpoints_valid(arguments):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Grown(LocalScorer):
        sharpness: float = 1.0

    scorer = local_scorer("ot")
    grown = Grown(**dataclasses.asdict(scorer))
    before, after, changed = (knobs_of([each]) for each in (scorer, grown, dataclasses.replace(grown, sharpness=2.0)))
    assert before == after
    assert changed == {**before, "sharpness": 2.0}


def test_global_weights_of_1_leave_earlier_checkpoints_valid():
    weights = LossWeights(llm_weight=[1.0, 2.0], local_weight=[0.5, 0.5], global_weight=[1.0, 1.0])
    earlier = {"llm_weight": [1.0, 2.0], "local_weight": [0.5, 0.5]}
    assert knobs_of([weights]) == earlier
    other = dataclasses.replace(weights, global_weight=[1.0, 0.0], cross_entropy="summed")
    assert knobs_of([other]) == {**earlier, "global_weight": [1.0, 0.0], "cross_entropy": "summed"}


def test_knobs_count_in_a_checkpoint_by_their_own_names():
    """As the trainer's flat arguments were fingerprinted before they were gathered."""
    flat = dataclasses.asdict(local_scorer("ot", topk=3))
    del flat["topk_step"]  # came later
    assert knobs_of([local_scorer("ot", topk=3)]) == flat


def test_a_finished_checkpoint_only_evaluates(arguments, tmp_path):
    checkpoint = {"checkpoint": tmp_path / "checkpoint", "checkpoint_every": 1}
    (first,) = train(**arguments, **checkpoint)
    (second,) = train(**arguments, **checkpoint, report=lambda _: pytest.fail("trained again"))
    assert_same(first, second, 0)


def test_a_replica_that_diverges_fails_alone(arguments):
    shared = together(arguments, learning_rate=[0.05, 1e30, 0.1])
    results = train(**shared)
    assert [result.failure is None for result in results] == [True, False, True]
    assert "optim.learning_rate" in results[1].failure
    assert results[1].val is None
    assert results[1].tests == {}
    for replica in (0, 2):
        (solo,) = train(**alone(shared, replica))
        assert_same(results[replica], solo, 1e-5)


def test_training_stops_when_no_replica_is_left(arguments):
    seen = []
    (result,) = train(**(arguments | {"learning_rate": [1e30], "epochs": 50}), report=seen.append)
    assert result.failure is not None
    assert len(seen) < 10


def test_progress_tells_epochs_and_losses(arguments):
    seen = []
    results = train(**together(arguments), report=seen.append)
    assert [(progress.epoch, progress.epochs) for progress in seen] == [(e, 4) for e in (1, 2, 3, 4)]
    assert [progress.loss[1] for progress in seen] == results[1].loss_curve


def test_batches_are_a_permutation_for_each_seed_and_epoch():
    samples = torch.stack([torch.arange(100, 123), torch.arange(200, 223)])
    batches = epoch_batches(samples, [1, 2], epoch=3, batch_size=5)
    assert batches.shape == (4, 2, 5)  # the partial batch is dropped
    for r in range(2):
        rows = batches[:, r].flatten().tolist()
        assert len(set(rows)) == 20
        assert set(rows) <= set(samples[r].tolist())
    assert torch.equal(batches[:, 1:], epoch_batches(samples[1:], [2], epoch=3, batch_size=5))
    assert not torch.equal(batches, epoch_batches(samples, [1, 2], epoch=4, batch_size=5))
    assert epoch_batches(samples, [1, 2], epoch=0, batch_size=64).shape == (1, 2, 23)  # unless it is all there is


def test_without_validation_there_is_none(arguments):
    (result,) = train(**(arguments | {"val": None, "val_samples": None, "epochs": 1}))
    assert result.val is None


def test_base_to_new_evaluates_classes_not_trained_on(arguments):
    text, images = arguments["text"], arguments["val"]
    base, new = (images.rows((images.labels % 6 < 3) == wanted) for wanted in (True, False))
    new = dataclasses.replace(new, labels=new.labels - 3)

    def part(of):
        fields = (text.descriptions, text.description_mask, text.template)
        return ClassText(text.name_tokens[of], *(field[of] for field in fields))

    split = {
        "text": part(slice(3)),
        "samples": arguments["samples"][:, :12],
        "val": None,
        "tests": {"base": TestSet(base, part(slice(3))), "new": TestSet(new, part(slice(3, 6)))},
        "inference_description_weight": [0.5],
    }
    (result,) = train(**(arguments | split))
    assert [test.count for test in result.tests.values()] == [24, 24]
    with pytest.raises(UserError, match=r"prompt\.class_specific.*'new'"):
        train(**(arguments | split | {"class_specific": True}))


def test_missing_inputs_are_named(arguments):
    bare = ClassText(arguments["text"].name_tokens)
    with pytest.raises(UserError, match=r"alignment\.llm_weight.*descriptions"):
        train(**(arguments | {"text": bare}))
    with pytest.raises(UserError, match=r"alignment\.llm_target"):
        train(**(arguments | {"text": bare, "llm_target": "template"}))
    with pytest.raises(UserError, match=r"alignment\.topk"):
        train(**(arguments | {"local_form": "topk", "topk": PATCHES + 1}))
    with pytest.raises(ValueError, match="one value per replica"):
        train(**(arguments | {"seeds": [1, 2]}))


def test_checkpoints_from_before_full_stops_were_joined_stay_valid(tokenizer):
    """Names were handed over without full stops, and version 2 was that of all."""
    (period,) = tokenizer.encode(".")
    bare = ClassText((tuple(tokenizer.encode("torlet")), (5, 7)), template=torch.ones(2, 4))
    stopped = dataclasses.replace(bare, name_tokens=tuple((*name, period) for name in bare.name_tokens))
    former, numerics = as_numbered(stopped, period)
    assert (former.name_tokens, numerics) == (bare.name_tokens, 2)
    joined = dataclasses.replace(bare, name_tokens=(tuple(tokenizer.encode("kite (bird of prey).")), (5, 7, period)))
    assert as_numbered(joined, period) == (joined, 3)
