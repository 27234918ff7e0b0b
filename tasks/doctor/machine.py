"""Is this machine fit: Python, packages, processors, memory, GPUs, disk, terminal?"""

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tasks.doctor.finding import Finding, bad, ok, warn

_DISTRIBUTION = "tokensieve"
_LITTLE_DISK = 10 * 10**9
_LITTLE_MEMORY = 4 * 2**30
_WRITABLE_BY_OTHERS = 0o022


def check_python() -> Finding:
    """Return whether this Python is one that tokensieve is made for."""
    found, wanted = platform.python_version(), distribution(_DISTRIBUTION).metadata
    if found in SpecifierSet(wanted["Requires-Python"]):
        return ok(f"{found}, {sys.executable}")
    return bad(
        f"{found}, but {wanted['Requires-Python']} is needed",
        "Make the virtual environment anew with that Python: rm -rf .venv, then make test",
    )


def check_packages() -> Finding:
    """Return whether every package that tokensieve needs has a version that it may have."""
    required = [Requirement(each) for each in distribution(_DISTRIBUTION).requires or []]
    required = [each for each in required if each.marker is None or each.marker.evaluate()]
    wrong = [each for each in map(_wrong, required) if each]
    if not wrong:
        return ok(f"all {len(required)} have a version that was allowed for")
    return bad("; ".join(wrong), "pip install --constraint constraints.txt --editable .")


def _wrong(required: Requirement) -> str:
    """Return what is wrong with the version of a package; empty if nothing is."""
    try:
        found = version(required.name)
    except PackageNotFoundError:
        return f"{required.name} is missing"
    if required.specifier.contains(found.partition("+")[0], prereleases=True):
        return ""
    return f"{required.name} {found} is not {required.specifier}"


def check_processors() -> Finding:
    """Return how many processors and how much memory there are."""
    available = psutil.virtual_memory().available
    found = f"{len(os.sched_getaffinity(0))} processors, {available / 2**30:.1f} GiB free memory"
    if available >= _LITTLE_MEMORY:
        return ok(found)
    return warn(found, "End what holds memory, or set cluster.workers to 1")


def check_gpus() -> Finding:
    """Return what torch sees of the GPUs, and whether the system sees more."""
    import torch

    names = [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
    if names:
        sizes = [torch.cuda.mem_get_info(each) for each in range(len(names))]
        free = min(size[0] for size in sizes) / 2**30
        return ok(f"{len(names)} x {names[0]}, {free:.0f} GiB free on the fullest")
    if Path("/proc/driver/nvidia/gpus").exists() or shutil.which("nvidia-smi"):
        return bad(
            f"the system has an NVIDIA driver, but torch {torch.__version__} sees no GPU",
            "Install a CUDA build of torch that the driver supports; look at CUDA_VISIBLE_DEVICES",
        )
    return ok("none: models are scored and trained on the processors")


def check_temporary_files() -> Finding:
    """Return whether temporary files have room."""
    where = tempfile.gettempdir()
    free = shutil.disk_usage(where).free
    found = f"{where}: {free / 1e9:,.0f} GB free"
    if free >= _LITTLE_DISK:
        return ok(found)
    return warn(found, "Free some space there, or set TMPDIR to a larger disk")


def check_directory(directory: Path) -> Finding:
    """Return whether a directory of ours has room, and is nobody else's to write to."""
    status = directory.stat()
    free = shutil.disk_usage(directory).free
    found = f"{directory}: {free / 1e9:,.0f} GB free"
    if status.st_mode & _WRITABLE_BY_OTHERS:
        return warn(f"{found}; others may write to it", f"chmod go-w {directory}")
    if status.st_uid != os.getuid():
        return warn(f"{found}; it is another user's", "Let everybody who runs it share a group")
    return ok(found) if free >= _LITTLE_DISK else warn(found, "Free some space there")


def check_terminal() -> Finding:
    """Return whether the terminal shows every character."""
    encoding = sys.stdout.encoding or "ascii"
    if encoding.lower().replace("-", "") == "utf8":
        return ok(encoding)
    return warn(f"{encoding}: other characters are shown as \\u escapes", "export LC_ALL=C.UTF-8")
