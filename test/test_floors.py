# SPDX-License-Identifier: Apache-2.0
"""Which package may import which: the floors of the design, read from the sources without running them."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "clip2depth_ros"
NAME = "clip2depth_ros"

# From bottom to top. A module may import from its own package and from packages of lower floors; packages of
# the same floor may not import each other.
FLOORS = {
    "errors": -1,
    "settings": 0,
    "files": 0,
    "system": 0,
    "camera": 1,
    "images": 2,
    "metrics": 3,
    "network": 3,
    "keyframes": 3,
    "outputs": 3,
    "scale": 4,
    "stabilizer": 4,
    "bundle": 4,
    "engines": 5,
    "pipeline": 6,
    "importing": 6,
    "simulation": 3,
    "io": 4,
    "training": 7,
    "export": 8,
    "estimator": 9,
    "ros": 9,
    "evaluation": 10,
    "demo": 11,
    "adaptation": 11,
    "commands": 12,
    "cli": 13,
    "__main__": 14,
    "": 15,  # clip2depth_ros itself: the API, and the version, which every module may read
}

ROS_MODULES = {
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "builtin_interfaces",
    "nav_msgs",
    "tf2_msgs",
    "cv_bridge",
}
TORCH_MODULES = {"torch", "torchvision", "open_clip", "safetensors", "timm", "accelerate", "tensorboard"}
TORCH_PACKAGES = ("network/", "training/", "adaptation/", "export/exporter.py", "engines/pytorch.py")

# It imports PyTorch inside a function, so that it starts without PyTorch and can report that it is missing.
TORCH_INSIDE_FUNCTIONS = ("commands/adapt.py",)


def sources() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def imports(file: str, *, module_level: bool = False) -> set[str]:
    """Full names of what a file imports; with module_level, only what importing the file imports."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    found = set()

    def visit(node: ast.AST, inside_function: bool) -> None:
        if isinstance(node, ast.Import) and not (module_level and inside_function):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not (module_level and inside_function):
            module = node.module or ""
            if node.level:
                parts = [NAME, *Path(file).parent.parts]
                module = ".".join(parts[: len(parts) - node.level + 1] + ([module] if module else []))
            # `from clip2depth_ros import package` imports the package.
            found.update(
                f"{module}.{alias.name}" if (PACKAGE.parent / module.replace(".", "/")).is_dir() else module
                for alias in node.names
            )
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        inside_function |= isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside_function)

    visit(tree, False)
    return found


def package_of(module: str) -> str:
    """The package of clip2depth_ros.package.file, "" for clip2depth_ros itself."""
    name = module.removeprefix(NAME).lstrip(".").split(".")[0]
    return name if name in FLOORS or (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists() else ""


@pytest.mark.parametrize("file", sources())
def test_nothing_imports_from_the_same_or_a_higher_floor(file):
    own = Path(file).parts[0].removesuffix(".py")
    own = "" if own == "__init__" else own
    assert own in FLOORS, f"{file}: give this package its floor in {Path(__file__).name}"
    for module in imports(file):
        if module.split(".")[0] != NAME or module.startswith((f"{NAME}.msg", f"{NAME}.srv")):
            continue
        other = package_of(module)
        if other in (own, ""):
            continue
        assert other in FLOORS, f"{file} imports {module}, a package without a floor"
        assert FLOORS[other] < FLOORS[own], f"{file} imports {module} from the same or a higher floor"


def test_no_imports_are_circular():
    graph = {}
    for file in sources():
        paths = ((PACKAGE.parent / module.replace(".", "/")) for module in imports(file, module_level=True))
        files = (p.with_suffix(".py") if p.with_suffix(".py").is_file() else _package_of(p) for p in paths)
        graph[file] = {str(f.relative_to(PACKAGE)) for f in files if f.is_file() and PACKAGE in f.parents}
    assert sum(map(len, graph.values())) > 1000
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def _package_of(path: Path) -> Path:
    """The __init__.py that a module name stands for, or that has a name imported from a package."""
    return (path if path.is_dir() else path.parent) / "__init__.py"


@pytest.mark.parametrize("file", [f for f in sources() if not f.startswith("ros/")])
def test_only_ros_imports_ros(file):
    for module in imports(file):
        assert module.split(".")[0] not in ROS_MODULES, f"{file} imports {module}; only ros/ may"
        assert not module.startswith(f"{NAME}.msg"), f"{file} imports our messages; only ros/ may"


@pytest.mark.parametrize("file", [f for f in sources() if not f.startswith(TORCH_PACKAGES)])
def test_only_training_and_export_import_pytorch(file):
    for module in imports(file, module_level=file in TORCH_INSIDE_FUNCTIONS):
        assert module.split(".")[0] not in TORCH_MODULES, f"{file} imports {module}"


@pytest.mark.parametrize("file", [f for f in sources() if not f.startswith(TORCH_PACKAGES)])
def test_no_module_of_the_run_path_brings_pytorch_along(file):
    """Directly or through what it imports at module level."""
    seen: set[str] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for module in imports(current, module_level=True):
            assert module.split(".")[0] not in TORCH_MODULES, f"{file} brings {module} along, by {current}"
            waiting.extend(_files_of(module))


def _files_of(module: str) -> list[str]:
    """The files that importing a module of ours runs: its packages' __init__ and itself."""
    parts = module.split(".")
    if parts[0] != NAME:
        return []
    files = []
    for end in range(1, len(parts) + 1):
        path = Path(*parts[1:end]) if end > 1 else Path()
        for candidate in (path / "__init__.py", path.with_suffix(".py") if path.name else None):
            if candidate is not None and (PACKAGE / candidate).is_file():
                files.append(str(candidate))
    return files


def test_the_tensorrt_engines_leave_pytorch_alone():
    """All that they import, lazily too: a robot with a GPU needs no PyTorch."""
    program = """
import importlib.util, sys
import clip2depth_ros.engines
from clip2depth_ros.engines import cache
from clip2depth_ros.engines.tensorrt import builder, cuda, device_letterbox, engine
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.engines.graph import plain_graph
from clip2depth_ros.engines.half_precision import half_graph
for name in ("onnx", "filelock", "cuda.bindings.driver", "tensorrt", "tensorrt_rtx"):
    if importlib.util.find_spec(name.partition(".")[0]):
        importlib.import_module(name)
if "onnx" in sys.modules:
    half_graph(plain_graph(open_bundle("mini").model()), "fp16")
print(sorted({"torch", "torchvision", "onnx2torch"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout == "[]\n", ended.stderr
