"""Rules for KubeRay's RayCluster and RayJob documents."""

from collections.abc import Iterator, Mapping
from typing import Any

from dualpt.sweeps.cluster.faults import Document, Finding, error, warning
from dualpt.sweeps.cluster.ray_versions import image_that_differs

KINDS = ("RayCluster", "RayJob")
API = "ray.io/v1"
GPU = "nvidia.com/gpu"
OPEN_SERVICES = ("LoadBalancer", "NodePort")
"""Kinds of services that are reached from outside the cluster."""


def kuberay_findings(document: Document, pinned: dict[str, str] | None) -> Iterator[Finding]:
    """Every fault of a RayCluster or RayJob; `pinned` are the tested versions, where constraints.txt was found."""
    if document.get("apiVersion") != API:
        yield error("apiVersion", f"'{document.get('apiVersion')}' is not {API}, which KubeRay serves")
    spec: Mapping[str, Any] = document.get("spec") or {}
    if document.get("kind") == "RayJob":
        yield from _job(spec)
        spec = spec.get("rayClusterSpec") or {}
    head, workers = spec.get("headGroupSpec"), spec.get("workerGroupSpecs") or []
    if not head:
        yield error("spec.headGroupSpec", "missing: a cluster has a head")
        return
    if not workers:
        yield error("spec.workerGroupSpecs", "missing: nothing would train")
    if pinned is None:
        yield warning("constraints.txt", "not found beside the file or above it: versions are not compared")
    elif str(spec.get("rayVersion")) != pinned.get("ray"):
        yield error("spec.rayVersion", f"{spec.get('rayVersion')}, and constraints.txt has {pinned.get('ray')}")
    if (spec.get("authOptions") or {}).get("mode") != "token":
        yield error("spec.authOptions", "no mode: token: whoever reaches the head can run code there")
    yield from _head_services(head)
    if not spec.get("enableInTreeAutoscaling"):
        yield warning("spec.enableInTreeAutoscaling", "off: workers are not started as trials wait, nor stopped")
    for where, group in [("headGroupSpec", head), *((f"workerGroupSpecs[{i}]", g) for i, g in enumerate(workers))]:
        yield from _group(f"spec.{where}", group, pinned, is_head=group is head)


def service_findings(document: Document) -> Iterator[Finding]:
    """A service of the records that is opened to the outside: MLflow has no password of its own."""
    kind = (document.get("spec") or {}).get("type")
    if kind in OPEN_SERVICES:
        name = (document.get("metadata") or {}).get("name")
        yield error(
            "spec.type",
            f"service {name}: {kind} opens it to everyone who reaches the node, and the MLflow server has no password; "
            "leave it out and use `kubectl port-forward`",
        )


def _head_services(head: Mapping[str, Any]) -> Iterator[Finding]:
    """Services that open the head to the outside."""
    service = (head.get("headService") or {}).get("spec") or {}
    opened = {"headService.spec.type": service.get("type"), "serviceType": head.get("serviceType")}
    for key, kind in opened.items():
        if kind in OPEN_SERVICES:
            yield error(
                f"spec.headGroupSpec.{key}",
                f"{kind} opens the head, which runs jobs, to everyone who reaches the node; leave it out and use "
                "`kubectl port-forward`",
            )


def _job(spec: Mapping[str, Any]) -> Iterator[Finding]:
    entrypoint = str(spec.get("entrypoint", ""))
    if "dualpt" not in entrypoint:
        yield error("spec.entrypoint", "runs no dualpt command")
        return
    if "run.tracking_uri=http" not in entrypoint:
        yield error("spec.entrypoint", "no run.tracking_uri=http://…: pods share no file; name the MLflow service")
    if "run.study_storage=postgresql" not in entrypoint:
        yield error("spec.entrypoint", "no run.study_storage=postgresql+psycopg://…: the study is lost with its pod")


def _group(where: str, group: Mapping[str, Any], pinned: dict[str, str] | None, *, is_head: bool) -> Iterator[Finding]:
    if not is_head and not group.get("minReplicas", 0) <= group.get("replicas", 0) <= group.get("maxReplicas", 0):
        yield error(f"{where}.replicas", "is not between minReplicas and maxReplicas")
    if is_head and str((group.get("rayStartParams") or {}).get("num-cpus")) != "0":
        yield warning(f"{where}.rayStartParams", 'no num-cpus: "0": trials would train beside the driver')
    pod = (group.get("template") or {}).get("spec") or {}
    volumes = {volume.get("name") for volume in pod.get("volumes") or []}
    for container in pod.get("containers") or []:
        name = f"{where}.{container.get('name', 'container')}"
        if pinned is not None:
            yield from image_that_differs(f"{name}.image", str(container.get("image", "")), pinned)
        for mount in container.get("volumeMounts") or []:
            if mount.get("name") not in volumes:
                yield error(f"{name}.volumeMounts", f"'{mount.get('name')}' is not a volume of the pod")
        yield from _gpus(name, container.get("resources") or {})


def _gpus(name: str, resources: Mapping[str, Any]) -> Iterator[Finding]:
    limit = (resources.get("limits") or {}).get(GPU)
    if limit is None and GPU in (resources.get("requests") or {}):
        yield error(f"{name}.resources", f"{GPU} is requested without a limit: Kubernetes refuses the pod")
    elif limit is not None and not str(limit).isdigit():
        yield error(
            f"{name}.resources", f"{GPU}: {limit} is not a whole number; workers share a device by run.gpus_per_trial"
        )
