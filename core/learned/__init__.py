"""Learned prompts after training: as files, as classifiers, and under inspection.

- `prompts`: a file of contexts that explains itself
- `classifier`: images to logits, as the cell was judged
- `scorers`: from a setting to the frozen objects that training and classifying take
- `inspection`: words, descriptions, image patches and confusions of learned prompts

It trains nothing, and may import everything in `core` but `running` and `features`.
"""
