"""Imports point down only, and the light parts stay light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the bottom up; a module may import what is further down, and what is in its own package.
LAYERS = (
    ("vidboot_kernels", "boxes", "trust", "files", "policy", "settings"),
    ("errors", "plain", "memory", "noise", "holes", "views", "masks"),
    ("visibility", "innovation", "decisions", "fill", "muon", "terminal"),
    ("denoiser",),
    ("composition", "losses", "metrics", "meter"),
    ("data", "synthetic", "corruption"),
    ("sampler", "nets", "optim"),
    ("run",),
    ("fit", "disk", "detections"),
    ("config",),
    ("device",),
    ("build", "training_data", "leak", "mask_merge", "mask_video", "twins"),
    ("stages", "inpaint", "curation"),
    ("train", "generate", "scan", "report"),
    ("held_out",),
    ("evaluate", "restore", "mask", "review", "arithmetic"),
    ("pages", "comparison"),
    ("compare_page",),
    ("demo", "compare", "scanned"),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
VERBS = {"train", "generate", "scan", "mask", "evaluate", "restore", "review", "demo", "compare"}


def modules() -> list[Path]:
    files = [*(ROOT / "vidboot").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    return sorted(file for file in files if file != ROOT / "vidboot" / "__init__.py")


def part_of(module: str) -> str | None:
    """The part of the house that a dotted name is of; None if it is not ours."""
    first, *rest = module.split(".")
    if first == "vidboot_kernels":
        return first
    return rest[0] if first == "vidboot" and rest else None


def part_of_file(file: Path) -> str:
    relative = file.relative_to(ROOT / ("kernels" if "kernels" in file.relative_to(ROOT).parts else ""))
    return part_of(".".join(relative.with_suffix("").parts)) or relative.stem


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from names_of(node)


def names_of(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    else:
        assert node.level == 0, "a relative import hides what it imports"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down_only(file: Path) -> None:
    part = part_of_file(file)
    assert part in RANK, f"{part} has no place in LAYERS"
    for module in imported(file):
        other = part_of(module)
        if other is not None and other != part and other != "__version__":
            assert other in RANK, f"{other} has no place in LAYERS"
            assert RANK[other] < RANK[part], f"{part} imports {module}, which is not below it"


def test_the_report_imports_no_verb() -> None:
    for file in (ROOT / "vidboot" / "report").glob("*.py"):
        assert not {part_of(module) for module in imported(file)} & VERBS, file


def test_kernels_is_a_folder_and_not_a_package() -> None:
    assert not (ROOT / "kernels" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("vidboot", {"torch", "triton", "xformers", "numpy", "av"}),
        ("vidboot.__main__", {"torch", "triton", "xformers", "av"}),
        ("vidboot.scan", {"torch", "triton", "xformers"}),
        ("vidboot.mask", {"torch", "triton", "xformers", "onnxruntime"}),
    ],
)
def test_a_light_part_stays_light(module: str, heavy: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not heavy & set(loaded.split())


def test_kernels_are_imported_only_where_they_are_asked_for() -> None:
    for file in modules():
        at_import = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {module.split(".")[0] for node in at_import for module in names_of(node)}
        assert "xformers" not in names, file
        assert "triton" not in names or file.stem.endswith("_triton"), file
        assert not any(module.endswith("_triton") for node in at_import for module in names_of(node)), file
