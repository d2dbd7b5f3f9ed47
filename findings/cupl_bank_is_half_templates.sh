#!/usr/bin/env bash
# One would guess: the CuPL description bank that ships with CLIP_benchmark ("customised prompts by a language model")
#   holds what a language model wrote about each of ImageNet's 1000 classes.
# What happens (read from the published wheel): 998 keys for 1000 classes, since two pairs of classes share a name
#   ("missile", "sunglasses"). Each key has 150 sentences, of which 80 are CLIP's own hand-written templates with the
#   name filled in ("a origami hen."). Of the other 70, hundreds hold a line break, dozens serve two classes word for
#   word, and some are no descriptions: "." alone, "I don't know.", "I cannot answer this question." Nor are the keys
#   in the order of the class list: taken by position, a quarter of the classes get another's sentences.
# Why it matters: "descriptions against templates" measured with this bank compares templates to a mixture that is
#   more than half templates, and whoever aligns prompts with it aligns two classes with one and the same target.
#   Banks by other hands have to be matched by label, cleaned, and counted per source before they are used.
# Versions: clip-benchmark 1.6.2 (its data files only, nothing of it is run).
# Seen: 998 keys, 150 sentences each, 80 of them templates; 27 sentences serve several classes, 401 hold a line break,
#   85 say nothing; 744 names stand at their own place.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-deps clip-benchmark==1.6.2
cat > "$work/check.py" <<'PY'
import collections
import importlib.metadata
import json

files = {f.name: f for f in importlib.metadata.files("clip-benchmark") if f.name.endswith(".json")}


def read(name):
    return json.loads(files[name].locate().read_text(encoding="utf-8"))["imagenet1k"]


names, bank = read("en_classnames.json"), read("cupl_prompts.json")
templates = read("en_zeroshot_classification_templates.json")
twice = sorted(n for n, count in collections.Counter(names).items() if count > 1)
print(len(names), "classes,", len(bank), "keys; names of two classes:", twice)
assert (len(names), len(bank), twice) == (1000, 998, ["missile", "sunglasses"])

filled = {name: {t.format(c=name) for t in templates} for name in bank}
from_template = {len([s for s in bank[name] if s in filled[name]]) for name in bank}
print("sentences a class:", {len(s) for s in bank.values()}, "of which filled-in templates:", from_template)
assert {len(s) for s in bank.values()} == {150} and from_template == {80}

written = {name: [s for s in bank[name] if s not in filled[name]] for name in bank}
owners = collections.Counter(s for sentences in written.values() for s in set(sentences))
shared = [s for s, count in owners.items() if count > 1]
broken = sum("\n" in s for sentences in written.values() for s in sentences)
refusals = ("I don't know", "I cannot answer", "This is a difficult question")
useless = [s for sentences in written.values() for s in sentences if s == "." or s.startswith(refusals)]
print(len(shared), "sentences serve several classes;", broken, "hold a line break;", len(useless), "say nothing")
assert len(shared) == 27 and broken == 401 and "." in useless and "I don't know." in useless

in_place = sum(a == b for a, b in zip(names, bank))
print(in_place, "of", len(names), "names stand at their own place in the bank")
assert in_place == 744
PY
"$work/venv/bin/python" "$work/check.py"
