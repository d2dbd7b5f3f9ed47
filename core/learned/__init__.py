"""Learned prompts and classifiers after training: as files, at work on images, and under inspection.

- `prompts`: a file of contexts that explains itself; `document`: what it and `fitted` say of their cell
- `coop_checkpoint`: prompts that CoOp, KgCoOp or PLOT learned, checked and read as our own; `coop_export`: the way back
- `classifier`: images to logits by prompts, as the cell was judged
- `fitted`: a file of what a method on frozen features learned
- `feature_classifier`: images to logits by it
- `image_classifier`: what both kinds of classifier share
- `scorers`: from a setting to the frozen objects that training and classifying take
- `inspection`: words, descriptions, image patches and confusions of learned prompts

It trains nothing, and may import everything in `core` but `running` and `features`.
"""
