#!/usr/bin/env bash
# One would guess: CLIP's tokens of "a photo of a NAME." are those of the words, then those of the name, then the full
#   stop's, so the token embeddings of names may be kept apart and put between a prompt's context and a closing stop.
# What happens: that holds for names that end in a letter or a digit. Where a name ends in punctuation, CLIP's pattern
#   takes the run of punctuation as ONE word, and its merges often have a single token for it: ").": 1818, not ")" (264)
#   and "." (269). The text is a token shorter, and the end token, whose feature is the text's, stands one place earlier.
#   Other endings ("#", ":", "&") keep their two tokens, but the first is another one, since it no longer ends its word.
# Why it matters: CoOp and its successors write `name + "."`, and ImageNet's usual names hold several like "kite (bird of
#   prey)". A reimplementation that encodes names and stops apart (for a cache, or with the class token in the middle)
#   gives those classes other features, and agrees on all others, so comparing a few classes shows nothing.
# Versions: transformers 5.23.0, tokenizers 0.23.3, with the vocabulary file of open_clip_torch 3.3.0 (Python 3.11).
# Seen: of the 32 ASCII punctuation marks as the end of a name, together and apart differ for all 32, and 17 of them give a
#   shorter text; of 36 letters and digits none differs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
"$work/venv/bin/pip" install --quiet --no-deps open_clip_torch==3.3.0
cat > "$work/check.py" <<'PY'
import gzip
import string
import sysconfig
from pathlib import Path

from transformers import CLIPTokenizer

file = Path(sysconfig.get_path("purelib")) / "open_clip" / "bpe_simple_vocab_16e6.txt.gz"
lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
merges = [tuple(line.split()) for line in lines]
shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters = [chr(code) for code in shown] + [chr(256 + n) for n in range(256 - len(shown))]
words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
ids = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
assert len(ids) == 49408
tokenizer = CLIPTokenizer(vocab=ids, merges=merges)


def tokens(text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


STOP = tokens(".")
differ = {end: (tokens(f"kite {end}."), tokens(f"kite {end}") + STOP) for end in string.punctuation}
shorter = [end for end, (together, apart) in differ.items() if len(together) < len(apart)]
print("together", tokens("kite (bird of prey)."))
print("apart   ", tokens("kite (bird of prey)") + STOP)
print(sum(one != other for one, other in differ.values()), "of", len(differ), "marks differ;", len(shorter), "are shorter:", *shorter)
print("same length:", *(end for end in differ if end not in shorter))
assert tokens("kite (bird of prey).") != tokens("kite (bird of prey)") + STOP
assert (sum(one != other for one, other in differ.values()), len(differ), len(shorter)) == (32, 32, 17)
assert differ[")"] == ([19867, 1818], [19867, 264, 269])
assert [len(part) for part in differ["#"]] == [3, 3] and differ["#"][0][1] != differ["#"][1][1]
plain = [end for end in string.ascii_lowercase + string.digits if tokens(f"kite x{end}.") != tokens(f"kite x{end}") + STOP]
assert not plain, plain
print(differ[")"], differ["#"], tokens(")"), STOP)
PY
"$work/venv/bin/python" "$work/check.py"
