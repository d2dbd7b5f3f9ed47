"""The knobs of a setting by section: unit, default and range of each, and the words that it may take.

The defaults of forms and weights are the setting that `dualpt sweep mini-defaults` selected on validation accuracy,
rounded; they belong to the mini grid and its tiny CLIP, not to a real one.

Sections are frozen and refuse unknown keys.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dualpt.core.recipes import RecipeName

Value = str | int | float | bool | None

Protocol = Literal["few-shot", "base-to-new", "cross-dataset", "domain-generalization"]
LlmForm = Literal["cosine", "ot", "contrastive", "kl"]
LlmTarget = Literal["descriptions", "template", "kgcoop-template", "prograd-template"]
LlmGradient = Literal["added", "projected"]
LocalForm = Literal["ot", "topk", "multiscale", "attention", "uniform"]
CrossEntropy = Literal["separate", "summed"]
Marginals = Literal["uniform", "unbalanced"]
ClassTokenPosition = Literal["end", "middle", "front"]
InitPlace = Literal["start", "end"]
Precision = Literal["fp32", "bf16", "fp16"]
LocalKind = Literal["value", "tokens"]
DrawKind = Literal["standard", "relaxed", "realistic"]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class BackboneSection(Section):
    name: str = "mini-clip"
    """`mini-clip` (ships with the project), an open_clip architecture such as `ViT-B-16-quickgelu`, or `auto`: that of
    the checkpoint folder."""
    pretrained: str | None = None
    """open_clip pretrained tag, or the path of a local weights file or of a checkpoint folder (transformers' or
    open_clip's); `random` initialises from a fixed seed."""
    precision: Precision = "fp32"
    """Number format of the frozen towers; contexts and optimiser state are always fp32."""
    local_features: LocalKind = "value"
    """Local image features: the last attention's value path (MaskCLIP), or its ordinary output tokens."""


class PromptSection(Section):
    context_length: int = Field(16, ge=1, le=64)
    """Learnable context tokens per prompt, L."""
    n_prompts: int = Field(2, ge=1, le=32)
    """Prompts per class, N."""
    class_token_position: ClassTokenPosition = "end"
    """Where the class name stands relative to the context."""
    class_specific: bool = False
    """One context per class instead of one shared by all classes."""
    init: str | None = None
    """Words the context starts from (cut or filled to L tokens), `dataset-template` for those before the class name
    in its template, or the path of learned contexts of the same shape (our `contexts.safetensors`, CoOp's
    `model.pth.tar-50`); None draws N(0, init_std^2)."""
    init_at: InitPlace = "start"
    """Where words of `init` stand that are fewer than L tokens: at the start with noise behind them, or at the end with
    zeros before them, as ProGrad has it."""
    init_std: float = Field(0.02, gt=0, le=1)
    """Standard deviation of the random initialisation."""


class AlignmentSection(Section):
    llm_weight: float = Field(4.0, ge=0, le=1000)
    """Weight of the alignment with class descriptions; 0 switches it off. Of a projected gradient, the share of the
    conflict that is taken out, ProGrad's lambda."""
    llm_form: LlmForm = "cosine"
    """Form of the alignment with descriptions."""
    llm_target: LlmTarget = "descriptions"
    """What prompts are aligned with: LLM-written descriptions, or the hand-written template; KgCoOp's differs from
    CoOp's on DescribableTextures, ProGrad's where CoOp's has words behind the class name."""
    llm_gradient: LlmGradient = "added"
    """How the alignment acts: its gradient is added to the cross-entropy's, or takes from that what conflicts with it
    (ProGrad)."""
    local_weight: float = Field(0.5, ge=0, le=1000)
    """Weight of the cross-entropy on local logits; 0 switches it off."""
    local_form: LocalForm = "attention"
    """How patch similarities become one score per class."""
    global_weight: float | None = Field(1.0, ge=0, le=1000)
    """Weight of global logits in training; 0 leaves them out, null is PLOT's rule: 1 on ImageNet, 0 elsewhere."""
    cross_entropy: CrossEntropy = "separate"
    """The weighted sum of a cross-entropy on global and one on local logits, or one on the weighted sum of both."""
    topk: int = Field(4, ge=1, le=1024)
    """Patches averaged by `local_form: topk`, and by the first prompt of `multiscale`."""
    topk_step: int = Field(4, ge=1, le=1024)
    """Patches that each prompt of `local_form: multiscale` averages beyond those of the prompt before it."""
    attention_beta: float = Field(10.0, gt=0, le=1000)
    """Inverse temperature over patches of `local_form: attention`."""
    ot_epsilon: float = Field(0.1, ge=0.001, le=10)
    """Entropic regularisation of every optimal-transport plan."""
    ot_iterations: int = Field(20, ge=1, le=10_000)
    """Sinkhorn iterations; a fixed number, so that no image's plan depends on its batch. At epsilon 0.1, 20 leave
    an error of float precision on the mini grid; smaller epsilons need more."""
    ot_marginals: Marginals = "uniform"
    """Marginals of the local plan: uniform, or KL-relaxed so that background patches may be left out."""
    ot_relaxation: float = Field(0.1, gt=0, le=100)
    """KL weight of the relaxed patch marginal; smaller leaves out more."""


class InferenceSection(Section):
    local_weight: float = Field(0.5, ge=0, le=100)
    """Weight of local logits at test."""
    global_weight: float | None = Field(1.0, ge=0, le=100)
    """Weight of global logits at test; 0 and null as in `alignment.global_weight`."""
    description_weight: float = Field(0.0, ge=0, le=100)
    """Weight of the mean description's logits at test."""


class OptimSection(Section):
    recipe: RecipeName = "mini"
    """Source of what is left unset below: the field's recipe (CoOp), KgCoOp's, or a short one tuned on the
    mini grid."""
    learning_rate: float | None = Field(None, gt=0, le=10)
    """SGD learning rate after the warm-up epoch; None takes the recipe's."""
    batch_size: int | None = Field(None, ge=1, le=4096)
    """Images per step; None takes the recipe's."""
    epochs: int | None = Field(None, ge=1, le=100_000)
    """Passes over the few-shot sample; None takes the recipe's."""
    epoch_scale: float = Field(1.0, gt=0, le=100)
    """Multiplies the recipe's epochs: 0.5 trains half as long at every number of shots."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum."""
    weight_decay: float = Field(5e-4, ge=0, le=1)
    """SGD weight decay on the contexts."""
    warmup_learning_rate: float = Field(1e-5, ge=0, le=1)
    """Constant learning rate of epoch 0."""


class DataSection(Section):
    root: str | None = None
    """Folder that holds the datasets. Mini datasets lie in the cache folder unless a mini grid lies here."""
    features: str | None = None
    """Folder of imported features (`dualpt features import`), read in place of images and weights."""
    draw: DrawKind = "standard"
    """How many images of each class are drawn: equally many, or in proportion to the class's training images, at least
    one of each (`relaxed`) or none of rare classes (`realistic`); see docs/protocols.md."""
    views: int = Field(1, ge=0, le=1000)
    """Cached views per training image: 1 is the plain centre crop, V > 1 draws from V random crops and flips, 0 crops
    and encodes again at every step."""

    @property
    def folder(self) -> Path | None:
        """`root` as a path."""
        return None if self.root is None else Path(self.root).expanduser()

    @property
    def imports(self) -> Path | None:
        """`features` as a path."""
        return None if self.features is None else Path(self.features).expanduser()


class DescriptionsSection(Section):
    bank: str | None = None
    """Folder with one `<dataset>.json` of {class name: [sentence]}; None looks in `descriptions/` beside the data (the
    mini grid has its own there), then among the banks that ship."""
    per_class: int | None = Field(None, ge=1, le=1000)
    """Sentences used per class, K, in the bank's order; None takes all."""
