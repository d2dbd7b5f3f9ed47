"""Rules for files of Ray's cluster launcher (`ray up`): what its schema cannot know of this project."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dualpt.sweeps.cluster.faults import Document, Finding, commands_of, error, warning
from dualpt.sweeps.cluster.ray_versions import image_that_differs, pins_that_differ

SETUP = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
HEAD_START, WORKER_START = "head_start_ray_commands", "worker_start_ray_commands"
BOOTSTRAP = "--autoscaling-config=~/ray_bootstrap_config.yaml"
GPU_INSTANCE = re.compile(r"^(g\d|p\d)")
"""AWS families with NVIDIA GPUs: g4dn, g5, g6, p4d, p5, …"""
LOOPBACK, EVERY_INTERFACE = ("127.0.0.1", "localhost", "::1"), ("0.0.0.0", "::", "[::]", "*", "")
KEPT_OUT = (".venv", "mlflow.db")
"""What file mounts must not carry: it is large, or a store that every machine would get a copy of."""
PROJECT = re.compile(r"cd\s+(?P<folder>[~/][\w./~-]*)\s*&&[^|]*pip install")


def launcher_findings(document: Document, pinned: dict[str, str] | None) -> Iterator[Finding]:
    """Every fault of a launcher file; `pinned` are the tested versions, where constraints.txt was found."""
    yield from _versions(document, pinned)
    yield from _installation(document)
    yield from _starting(document)
    yield from _doors(document)
    yield from _stores(document)
    yield from _machines(document)


def _versions(document: Document, pinned: dict[str, str] | None) -> Iterator[Finding]:
    if pinned is None:
        yield warning("constraints.txt", "not found beside the file or above it: versions are not compared")
        return
    for where, command in commands_of(document, *SETUP, HEAD_START, WORKER_START):
        yield from pins_that_differ(where, command, pinned)
    image = str((document.get("docker") or {}).get("image", ""))
    yield from image_that_differs("docker.image", image, pinned)


def _installation(document: Document) -> Iterator[Finding]:
    """Every machine gets the project itself, with the tested versions."""
    setup = commands_of(document, *SETUP)
    installs = [(where, command) for where, command in setup if "pip install" in command]
    everywhere = [where for where, _ in installs if not where.startswith(("head_", "worker_"))]
    if not everywhere:
        yield error("setup_commands", "nothing installs this project on every machine; add a pip install --editable")
        return
    if not any(re.search(r"(--constraint|-c)[ =]\S*constraints\.txt", command) for _, command in installs):
        yield error("setup_commands", "pip installs without --constraint constraints.txt: machines would differ")
    mounts = [str(target).rstrip("/") for target in (document.get("file_mounts") or {})]
    for where, command in installs:
        if (match := PROJECT.search(command)) is None:
            continue
        folder = match["folder"].rstrip("/")
        if not any(folder == target or folder.startswith(f"{target}/") for target in mounts):
            yield error(where, f"installs from {folder}, which file_mounts does not fill; mount the project there")
    left = [name for name in KEPT_OUT if not any(name in str(rule) for rule in document.get("rsync_exclude") or [])]
    if mounts and left:
        yield warning("rsync_exclude", f"{' and '.join(left)} would be copied to every machine; exclude them")


def _starting(document: Document) -> Iterator[Finding]:
    """The head scales the cluster, and workers find it."""
    head = " ; ".join(command for _, command in commands_of(document, HEAD_START))
    worker = " ; ".join(command for _, command in commands_of(document, WORKER_START))
    local = (document.get("provider") or {}).get("type") == "local"
    if "ray start" not in head or "--head" not in head:
        yield error(HEAD_START, "no `ray start --head`: there would be no cluster")
    elif BOOTSTRAP not in head and not local:
        yield error(HEAD_START, f"`ray start` lacks {BOOTSTRAP}: no worker would ever be started")
    port = re.search(r"ray start[^;&]*--port[= ](\d+)", head)
    address = re.search(r"--address[= ]\S+?:(\d+)", worker)
    if address is None:
        yield error(WORKER_START, "no `ray start --address=$RAY_HEAD_IP:6379`: workers would not join the head")
    elif port is not None and port[1] != address[1]:
        yield error(WORKER_START, f"workers join at port {address[1]}, and the head listens at {port[1]}")


def _doors(document: Document) -> Iterator[Finding]:
    """Whoever reaches a head without a token can run code there, and passwords in a command can be read by anyone."""
    for section in (HEAD_START, WORKER_START):
        started = " ; ".join(command for _, command in commands_of(document, section))
        if "ray start" in started and "RAY_AUTH_MODE=token" not in started:
            yield error(
                section, "`ray start` without RAY_AUTH_MODE=token: anyone who reaches this machine can run code on it"
            )
    mounted = [str(target) for target in document.get("file_mounts") or {}]
    if not any(target.endswith("auth_token") for target in mounted):
        yield error("file_mounts", "the token isn't mounted; add .ray/auth_token: ~/.ray/auth_token")
    for where, command in commands_of(document, *SETUP, HEAD_START, WORKER_START):
        if _option(command, "--dashboard-host") in EVERY_INTERFACE:
            yield error(
                where,
                "the dashboard, which runs jobs, listens on every interface; leave --dashboard-host out and "
                "reach it by `ray dashboard`",
            )
    group = (document.get("provider") or {}).get("security_group") or {}
    for rule in group.get("IpPermissions") or []:
        ranges = [*(rule.get("IpRanges") or []), *(rule.get("Ipv6Ranges") or [])]
        if any(address in ("0.0.0.0/0", "::/0") for one in ranges for address in one.values()):
            ports = f"{rule.get('FromPort', 'all')} to {rule.get('ToPort', 'all')}"
            yield error(
                "provider.security_group", f"ports {ports} are open to the whole internet; name your own addresses"
            )


def _option(command: str, *names: str) -> str | None:
    """The value of an option in a shell command, without quotes; None where it isn't given."""
    found = re.search(rf"(?:^|\s)(?:{'|'.join(map(re.escape, names))})[= ]([^\s;&|]*)", command)
    return None if found is None else found[1].strip("'\"")


def _stores(document: Document) -> Iterator[Finding]:
    """Workers record cells themselves, so runs are kept behind a server that all of them reach."""
    everything = commands_of(document, *SETUP, HEAD_START)
    servers = [(where, command) for where, command in everything if "mlflow server" in command]
    if not servers:
        yield error(HEAD_START, "no `mlflow server` is started: workers cannot reach a file on the head")
        return
    where, command = servers[0]
    host = _option(command.partition("mlflow server")[2], "--host", "-h")
    if host is None or host in LOOPBACK:
        yield error(where, "the MLflow server listens on its own machine only; add --host $(hostname -i)")
    elif host in EVERY_INTERFACE and "--app-name" not in command:
        yield warning(
            where,
            f"--host {host} opens the MLflow server on every interface, without a password; bind it to the private "
            "address with --host $(hostname -i), or add --app-name basic-auth",
        )
    if "--artifacts-destination" not in command:
        yield error(where, "without --artifacts-destination workers would write artifacts to their own disks")
    if "sqlite" in command:
        yield warning(where, "runs are kept in SQLite, which many workers make slow; keep them in PostgreSQL")
    if not any("postgresql" in text for _, text in everything):
        yield error(
            where,
            "no PostgreSQL for the study, which may be no file on several machines; install one on the head",
        )


def _machines(document: Document) -> Iterator[Finding]:
    types: Mapping[str, Any] = document.get("available_node_types") or {}
    most = document.get("max_workers")
    images = set()
    for name, node in types.items():
        where = f"available_node_types.{name}"
        resources, config = node.get("resources") or {}, node.get("node_config") or {}
        images.add(config.get("ImageId"))
        gpus = resources.get("GPU", 0)
        if name == document.get("head_node_type"):
            continue
        instance = str(config.get("InstanceType", ""))
        if GPU_INSTANCE.match(instance) and not gpus:
            yield error(f"{where}.resources", f"{instance} has a GPU that is not declared: it would get no trial")
        if "max_workers" in node and most is not None and node["max_workers"] > most:
            yield warning(f"{where}.max_workers", f"more than the cluster's max_workers, which is {most}")
        spot = (config.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
        if instance and not spot:
            yield warning(f"{where}.node_config", "no spot machine: a sweep survives their loss, and they cost a third")
    if len(images - {None}) > 1:
        yield warning("available_node_types", "machines start from different images; use one, so that drivers agree")
