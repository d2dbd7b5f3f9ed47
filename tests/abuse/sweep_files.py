"""Sweep and ablation files of wrong types, wrong nesting, unknown keys, and YAML that ends nowhere."""

from tests.abuse.refusals import Bad, Prepare, bad

WHOLE = """\
name: whole
grid: {datasets: [mini-tiles], shots: [1], seeds: [1]}
baselines: [coop]
"""


def text(content: str | bytes, name: str = "s.yaml") -> Prepare:
    """A file in the working folder."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


TYPES = {
    "name": ("3", "[a]", "{a: b}", "''", "a/b", "../x", "'a b'", "null", "true", "x" * 200, "1.5"),
    "description": ("3", "[a]", "{a: b}"),
    "grid": ("3", "[mini]", "mini", "true"),
    "grid.datasets": ("[]", "[3]", "[[mini-tiles]]", "[mini-tiles, mini-tiles]", "{mini-tiles: 1}", "null", "[null]"),
    "grid.protocol": ("3", "[few-shot]", "few", "null", "true"),
    "grid.targets": ("[]", "[3]", "[mini-cars]"),
    "grid.shots": ("[]", "[0]", "[-1]", "[1.5]", "['1']", "[true]", "[1, 1]", "[[1]]", "{a: 1}", "[null]"),
    "grid.seeds": ("[]", "[-1]", "[1.0]", "['a']", "[1, 1]", "[true]", "null"),
    "setting": ("3", "[a]", "text"),
    "setting.optim": ("3", "[1]", "{epochs: {epochs: 1}}"),
    "setting.optim.epochs": ("'3'", "[3]", "{a: 1}", "true", "1.5", "many"),
    "setting.prompt.class_specific": ("1", "'true'", "maybe", "null"),
    "setting.alignment.llm_form": ("1", "cosin", "[cosine]", "null", "true"),
    "setting.backbone.name": ("1", "[a]", "null"),
    "baselines": ("coop", "[3]", "[[coop]]", "[cop]", "{coop: 1}", "null", "[null]"),
    "search": ("3", "[a]", "{}", "text", "{space: {}}", "{space: [a]}", "{space: 3}", "{space: null}"),
    "run": ("3", "[a]", "text"),
    "run.tracking_uri": ("3", "[a]", "null"),
    "run.study_storage": ("3", "[a]", "null"),
    "run.gpus_per_trial": ("all", "[1]", "true", "-1"),
    "run.cpus_per_trial": ("'1'", "0", "[1]", "null"),
}


def nested(key: str, value: str) -> str:
    """`a.b.c: value` as nested lines of YAML."""
    *outer, last = key.split(".")
    return (
        "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(outer))
        + f"{'  ' * len(outer)}{last}: {value}\n"
    )


def wrong_types() -> list[Bad]:
    cases = []
    for key, values in TYPES.items():
        for value in values:
            rest = "".join(line for line in WHOLE.splitlines(True) if not line.startswith(key.split(".")[0] + ":"))
            cases.append(
                bad(
                    "sweep s.yaml --dry-run",
                    key.split(".")[-1],
                    text(rest + nested(key, value)),
                    note=f"{key}: {value}",
                )
            )
    return cases


UNKNOWN = {
    "grids: {datasets: [mini]}": "did you mean 'grid'?",
    "serach: {}": "did you mean 'search'?",
    "optim: {epochs: 1}": "did you mean 'setting.optim'?",
    "method: coop": "method",
    "setting: {optim: {epoch: 3}}": "did you mean 'optim.epochs'?",
    "setting: {optim.epoch: 3}": "did you mean 'optim.epochs'?",
    "setting: {optin: {epochs: 3}}": "optin",
    "setting: {optim.epochs: 3, optim: {epochs: 4}}": "optim.epochs",
    "setting: {method: coop}": "method",
    "setting: {data.shots: 4}": "data.shots",
    "run: {max_hour: 3}": "did you mean 'max_hours'?",
    "run: {gpus: 1}": "gpus",
    "search: {trails: 3, space: {prompt.n_prompts: {int: [1, 2]}}}": "did you mean 'trials'?",
    "search: {space: {prompt.n_prompt: {int: [1, 2]}}}": "did you mean 'prompt.n_prompts'?",
    "search: {space: {prompt.n_prompts: {ints: [1, 2]}}}": "did you mean 'int'?",
    "search: {space: {prompt.n_prompts: {int: [1, 2], logs: true}}}": "did you mean 'log'?",
    "search: {space: {prompt.n_prompts: {int: [1, 2], float: [1, 2]}}}": "exactly one",
    "search: {space: {prompt.n_prompts: {int: [1, 2], when: 3}}}": "when",
    "search: {space: {prompt.n_prompts: {int: [1, 2], when: {a: 3}}}}": "when",
    "search: {space: {prompt.n_prompts: {int: [1, 2], when: {prompt.n_prompts: 1}}}}": "circle",
    "search: {space: {prompt: {n_prompts: {int: [1, 2]}}}}": "prompt",
    "search: {space: {prompt.n_prompts: [1, 2]}}": "prompt.n_prompts",
    "search: {space: {prompt.n_prompts: null}}": "prompt.n_prompts",
    "search: {space: {data.root: {choice: [a, b]}}}": "location",
    "search: {sampler: tpee, space: {prompt.n_prompts: {int: [1, 2]}}}": "sampler",
    "search: {racing: ash, space: {prompt.n_prompts: {int: [1, 2]}}}": "racing",
    "search: {objective: test/accuracy, space: {prompt.n_prompts: {int: [1, 2]}}}": "may not steer",
    "search: {start_from: [cop], space: {prompt.n_prompts: {int: [1, 2]}}}": "start_from",
    "search: {start_from: [{}], space: {prompt.n_prompts: {int: [1, 2]}}}": "start_from",
    "search: {start_from: [{prompt.n_prompts: 9}], space: {prompt.n_prompts: {int: [1, 2]}}}": "start_from",
    "search: {start_from: ['sweep:'], space: {prompt.n_prompts: {int: [1, 2]}}}": "start_from",
    "search: {constraints: ['import os'], space: {prompt.n_prompts: {int: [1, 2]}}}": "constraints",
    "search: {constraints: ['__class__'], space: {prompt.n_prompts: {int: [1, 2]}}}": "constraints",
    "search: {constraints: [''], space: {prompt.n_prompts: {int: [1, 2]}}}": "constraints",
    "search: {constraints: ['prompt.n_prompts > 5'], space: {prompt.n_prompts: {int: [1, 2]}}}": "widen the space",
}

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
)
TEXTS = {
    "empty": b"",
    "blank": b"\n\n   \n",
    "comment": b"# nothing\n",
    "list": b"- a\n- b\n",
    "word": b"word\n",
    "number": b"3\n",
    "two documents": b"name: a\n---\nname: b\n",
    "tab": b"name:\n\t- a\n",
    "unclosed": b"grid: [1, 2\n",
    "quote": b"name: 'a\n",
    "colon": b"name: a: b\n",
    "twice": b"name: a\nname: b\n",
    "number as key": b"1: a\n",
    "null as key": b"null: a\n",
    "list as key": b"? [a, b]\n: c\n",
    "self": b"&a\nsetting: *a\n",
    "self in list": b"baselines: &a [*a]\n",
    "merge": b"<<: 3\n",
    "merge of itself": b"setting: &a\n  <<: *a\n",
    "no such anchor": b"name: *nowhere\n",
    "deep": b"name: " + b"[" * 100 + b"]" * 100,
    "very deep": b"name: " + b"[" * 20000,
    "deep mapping": b"".join(b" " * n + b"a:\n" for n in range(600)),
    "bomb": BOMB.encode(),
    "tag": b"name: !!python/object/apply:os.system ['touch harm']\n",
    "other tag": b"name: !thing x\n",
    "binary tag": b"name: !!binary aGVsbG8=\n",
    "set": b"baselines: !!set {coop}\n",
    "date": b"name: 2024-01-01\ngrid: 2024-01-01\n",
    "binary": bytes(range(256)),
    "zeros": b"\0" * 4096,
    "utf-16": "name: a\nbaselines: [coop]\n".encode("utf-16"),
    "utf-32": "name: a\n".encode("utf-32"),
    "latin-1": "name: caf\xe9\n".encode("latin-1"),
    "half character": b'name: "\\ud800"\n',
    "control": b"name: a\x07b\n",
    "escape": b'name: "\\e[31mred"\nbaselines: [coop]\n',
    "json cut": b'{"name": "a", ',
    "base 60": b"name: a\nrun: {max_hours: 1:30}\n",
    "octal": b"name: a\nrun: {max_hours: 010}\n",
    "underscore": b"name: a\nrun: {max_hours: 1_0}\n",
    "many digits": b"name: a\nbaselines: [coop]\nrun: {max_hours: " + b"9" * 5000 + b"}\n",
    "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 64,
}

ABLATIONS = {
    "": "give either",
    "variants: {}": "variants",
    "variants: []": "variants",
    "variants: {a: 3}": "variants.a",
    "variants: {a: {}}": "variants.a",
    "variants: {a: {prompt.n_prompt: 1}}": "did you mean 'prompt.n_prompts'?",
    "variants: {a: {prompt.n_prompts: 1e9}}": "prompt.n_prompts",
    "variants: {a: {prompt.n_prompts: .nan}}": "prompt.n_prompts",
    "variants: {a: {method: cop, changes: [prompt.n_prompts]}}": "did you mean",
    "variants: {a: {method: [coop], changes: [prompt.n_prompts]}}": "method",
    "variants: {a: {method: coop, changes: [[]]}}": "changes",
    "variants: {a: {method: coop, changes: [{a: b}]}}": "changes",
    "variants: {a: {method: coop}}": "changes",
    "variants: {coop: {prompt.n_prompts: 1}}": "coop",
    "variants: {best: {prompt.n_prompts: 1}}": "best",
    "variants: {'': {prompt.n_prompts: 1}}": "name",
    "factors: {}": "factors",
    "factors: []": "factors",
    "factors: {prompt.n_prompts: []}": "prompt.n_prompts",
    "factors: {prompt.n_prompts: [2]}": "prompt.n_prompts",
    "factors: {prompt.n_prompts: [2, [3]]}": "prompt.n_prompts",
    "factors: {prompt.n_prompts: [2, {a: 3}]}": "prompt.n_prompts",
    "factors: {prompt.n_prompts: [2, .inf]}": "prompt.n_prompts",
    "factors: {n: [1, 2]}": "n",
    "factors: {n: {a: 3, b: 4}}": "n.a",
    "factors: {n: {a: {}, b: {}}}": "both",
    "factors: {prompt.n_prompts: [1, 2]}\ndesign: fractional": "design",
    "factors: {prompt.n_prompts: [1, 2]}\ndesign: [factorial]": "design",
    "factors: {prompt.n_prompts: [1, 2]}\ndesign: {a: b}": "design",
    "factors: {prompt.n_prompts: [1, 2]}\ngenerators: {a: [b]}": "generators",
    "factors: {prompt.n_prompts: [1, 2]}\ndesign: factorial\ngenerators: 3": "generators",
    "factors: {prompt.n_prompts: [1, 2]}\ndesign: factorial\ngenerators: {a: [[b]]}": "generators",
    "factors: {prompt.n_prompts: [1, 2]}\ndesign: factorial\ngenerators: {prompt.n_prompts: [{a: b}]}": "generators",
    "factors: {prompt.n_prompts: [1, 2]}\nreference: 3": "reference",
    "factors: {prompt.n_prompts: [1, 2]}\nreference: [a]": "reference",
    "factors: {prompt.n_prompts: [1, 2]}\nreference: coop": "reference",
    "factors: {prompt.n_prompts: [1, 2]}\npack: 0": "pack",
    "factors: {prompt.n_prompts: [1, 2]}\npack: .inf": "pack",
    "factors: {prompt.n_prompts: [1, 2]}\nsearch: {}": "search",
    "factors: {prompt.n_prompts: [1, 2]}\nvariant: {}": "did you mean 'variants'?",
}


def unknown_keys() -> list[Bad]:
    return [bad("sweep s.yaml --dry-run", said, text(WHOLE + line + "\n"), note=line) for line, said in UNKNOWN.items()]


def broken_texts() -> list[Bad]:
    sweeps = [
        bad(
            f"sweep {name.replace(' ', '-')}.yaml --dry-run",
            f"{name.replace(' ', '-')}.yaml",
            text(content, f"{name.replace(' ', '-')}.yaml"),
        )
        for name, content in TEXTS.items()
    ]
    return [
        *sweeps,
        *(
            bad(f"ablate {name}.yaml --dry-run", f"{name}.yaml", text(TEXTS[name], f"{name}.yaml"))
            for name in ("empty", "self", "deep", "utf-16", "bomb")
        ),
    ]


def ablations() -> list[Bad]:
    head = "name: a\ngrid: {datasets: [mini-tiles], shots: [1], seeds: [1]}\n"
    return [
        bad("ablate a.yaml --dry-run", said, text(head + lines + "\n", "a.yaml"), note=lines)
        for lines, said in ABLATIONS.items()
    ]


INPUTS = (*wrong_types(), *unknown_keys(), *broken_texts(), *ablations())
