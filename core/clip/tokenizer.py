"""CLIP's byte-level BPE, with its own vocabulary or with that of a checkpoint folder."""

from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.clip.transformers_vocabulary import Vocabulary


def tokenizer_of(vocabulary: Vocabulary | None, context_length: int) -> SimpleTokenizer:
    """open_clip's tokenizer.

    Args:
        vocabulary: tokens, ids and merges to use in place of CLIP's; None for CLIP's own.
        context_length: positions of the text tower.
    """
    tokenizer = SimpleTokenizer(context_length=context_length)
    if vocabulary is None:
        return tokenizer
    start, end = (tokenizer.decoder[special] for special in (tokenizer.sot_token_id, tokenizer.eot_token_id))
    tokenizer.encoder = {**vocabulary.ids, start: vocabulary.start, end: vocabulary.end}
    tokenizer.decoder = {number: token for token, number in tokenizer.encoder.items()}
    tokenizer.bpe_ranks = {pair: rank for rank, pair in enumerate(vocabulary.merges)}
    tokenizer.sot_token_id, tokenizer.eot_token_id = tokenizer.all_special_ids = [vocabulary.start, vocabulary.end]
    return tokenizer
