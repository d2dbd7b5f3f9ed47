"""Output folders as CoOp's scripts leave them: what Dassl prints, line by line."""

from pathlib import Path

CONFIG = """DATALOADER:
  K_TRANSFORMS: 1
  TRAIN_X:
    BATCH_SIZE: 32
DATASET:
  ALL_AS_UNLABELED: False
  NAME: {dataset}
  NUM_SHOTS: {shots}
  ROOT: /data
  SOURCE_DOMAINS: ()
  SUBSAMPLE_CLASSES: {classes}
INPUT:
  COLORJITTER_B: 0.4
  TRANSFORMS: ('random_resized_crop', 'random_flip', 'normalize')
MODEL:
  BACKBONE:
    NAME: {backbone}
    PRETRAINED: True
  HEAD:
    HIDDEN_LAYERS: ()
    NAME:{space}
OUTPUT_DIR: {folder}
SEED: {config_seed}
TEST:
  FINAL_MODEL: last_step
TRAINER:
  CDAC:
    CLASS_LR_MULTI: 10
  COOP:
    CLASS_TOKEN_POSITION: end
    CSC: {csc}
    N_CTX: 16
  NAME: {trainer}"""

RESULT = "=> result\n* total: 8,100\n* correct: 6,942\n* accuracy: {accuracy}%\n* error: 14.3%\n* macro_f1: 85.30%"


def write_log(
    root: Path,
    accuracy: float | None,
    *,
    dataset: str = "EuroSAT",
    trainer: str = "CoOp",
    shots: int = 16,
    seed: int = 1,
    config_seed: int | None = None,
    classes: str = "all",
    backbone: str = "ViT-B/16",
    csc: bool = False,
    model_dir: str | None = None,
    name: str = "log.txt",
    validated: float | None = None,
) -> Path:
    """Write one log where CoOp's scripts have it.

    Args:
        accuracy: on the test images; None is a run that was killed.
        model_dir: what is evaluated; None is a training, an empty text an evaluation of nothing learned.
        validated: accuracy on the validation images, printed during training.
    """
    part = {"all": "", "base": "base2new/train_base", "new": "base2new/test_new"}[classes]
    folder = root / part / dataset.lower() / trainer / f"vit_ep50_{shots}shots" / f"nctx16_csc{csc}" / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    evaluates = model_dir is not None
    config = CONFIG.format(
        dataset=dataset,
        shots=-1 if model_dir == "" else shots,
        classes=classes,
        backbone=backbone,
        folder=folder,
        config_seed=seed if config_seed is None else config_seed,
        csc=csc,
        trainer=trainer,
        space=" ",
    )
    lines = ["***************", "** Arguments **", "***************", "backbone: "]
    lines += [f"dataset_config_file: configs/datasets/{dataset.lower()}.yaml", f"eval_only: {evaluates}"]
    lines += [f"model_dir: {model_dir or ''}", f"seed: {seed}", "************", "** Config **", "************", config]
    lines += ["Collecting env info ...", "** System info **", "PyTorch version: 1.7.1", "Loading trainer: CoOp"]
    if not evaluates:
        lines += ["epoch [1/50][5/5]\ttime 0.2 (0.5)\tloss 1.2 (1.3)\tacc 56.2 (50.1)\tlr 2.0000e-03"]
        if validated is not None:
            lines += ["Evaluate on the *val* set", RESULT.format(accuracy=validated)]
    if accuracy is not None:
        lines += [] if evaluates else ["Finish training", "Deploy the last-epoch model"]
        lines += ["Evaluate on the *test* set", RESULT.format(accuracy=accuracy)]
        lines += [] if evaluates else ["Elapsed: 0:03:21"]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path
