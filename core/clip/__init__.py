"""The frozen CLIP: found by name, path or tag, checked, loaded once, and used to encode images and texts.

- `weights`: which weights are meant, and their fingerprint, before a model is built
- `architectures`: what open_clip knows, and which of it is supported; `open_clip_cache`: its answers, kept on disk
- `transformers_layout`, `transformers_weights`, `transformers_vocabulary`: folders that `transformers` saved
- `state_files`: a weights file as a state dict, whoever wrote it; none of its code runs
- `misfits`, `feature_checks`: keys, shapes, scales and features that cannot be right
- `backbone`: the loaded model; `text_transformer`, `text_tower`, `tokenizer`: its text side
- `whole_model`, `local_features`: its image side, which is open_clip's; they alone import open_clip, for 3.3 s

It may import `data` (image preprocessing), `mini` (the tiny CLIP), `files` and `errors`; it knows no prompts.
"""
