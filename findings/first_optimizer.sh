#!/usr/bin/env bash
# One would guess: torch.optim.SGD([p], lr=0.1) sets a few attributes. The compiler, torch._dynamo, is loaded by whoever
#   calls torch.compile; `import torch` leaves it out on purpose, and so does a training loop written by hand.
# What happens: the first optimizer of a process, whichever it is, imports torch._dynamo with all that belongs to it.
#   `Optimizer.add_param_group` is decorated so that the compiler doesn't enter it, and the decorator imports the
#   compiler when the method is first called, compiled or not. Some 890 modules follow, at 80 % of the CPU time that
#   `import torch` takes. A model built on the meta device, to save the time of its initialisation, has the same cost
#   as soon as it holds an nn.Embedding: an nn.Linear loads nothing.
# Why it matters: a sweep that starts a process for each trial pays it each time, in the first trial's training time
#   and not in its imports: `python -X importtime` of a script that only imports doesn't show it, and neither does a
#   test that `torch._dynamo` is absent after all imports. Steps written by hand don't pay.
# Versions: torch 2.14.1 (Python 3.11).
# Seen: after import torch: no torch._dynamo; after steps by hand: no; after SGD([p]): yes, 893 modules more; 1.2 s of
#   CPU time where import torch took 1.5 s. On the meta device: Linear no, Embedding yes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import subprocess
import sys
import time

start = time.process_time()
import torch

importing = time.process_time() - start


def compiler_is_loaded(after):
    loaded = "torch._dynamo" in sys.modules
    print(f"after {after}: torch._dynamo {'is' if loaded else 'is not'} loaded, {len(sys.modules)} modules")
    return loaded


parameter = torch.ones(3, requires_grad=True)
assert not compiler_is_loaded("import torch")
for _ in range(3):
    (parameter**2).sum().backward()
    with torch.no_grad():
        parameter.sub_(0.1 * parameter.grad)
    parameter.grad = None
assert not compiler_is_loaded("three steps by hand")

before, start = len(sys.modules), time.process_time()
torch.optim.SGD([parameter], lr=0.1)
making = time.process_time() - start
assert compiler_is_loaded("torch.optim.SGD([parameter], lr=0.1)")
print(f"{len(sys.modules) - before} modules more")
print(f"CPU time: import torch {importing:.1f} s, the optimizer {making:.1f} s")
assert len(sys.modules) - before > 500

for layer, loads in (("Linear", False), ("Embedding", True)):
    code = f"import sys, torch; torch.nn.{layer}(3, 3, device='meta'); print('torch._dynamo' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    print(f"in a process of its own, {layer} on the meta device: torch._dynamo is loaded: {found}")
    assert found == str(loads)

start = time.process_time()
torch.optim.AdamW([parameter], lr=0.1)
print(f"the second optimizer: {time.process_time() - start:.4f} s")
PY
"$work/venv/bin/python" "$work/check.py"
