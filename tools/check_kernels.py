"""Compile every kernel configuration for GPUs that are not here, and fail where the machine code is not what we want.

    python tools/check_kernels.py --arch 90

A configuration goes through the launch code and the just-in-time compiler that a GPU would run, up to the launch. It
fails on a spilled register (sm_90), matrix products without tensor-core instructions, a global load or store of 2 bytes
at a time, more shared memory than the device has, more registers than its budget. It says nothing of speed.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

os.environ.pop("TRITON_INTERPRET", None)  # a process is interpreter or compiler for good
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # what triton 3.9 does, and warns that 3.10 will not

import torch
import triton
import triton.backends.nvidia
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from vidboot_kernels import flash_triton, gated_modulated_triton, norm_rotate_triton, packed_triton
from vidboot_kernels.tiles_triton import Launch, empty_like_caller, prepared_angles

README = Path(__file__).parent.parent / "kernels" / "README.md"
BEGIN, END = "<!-- begin: python tools/check_kernels.py --write -->", "<!-- end -->"
TARGETS = {
    "80": GPUTarget("cuda", 80, 32),
    "90": GPUTarget("cuda", 90, 32),
    "100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_LIMIT = {"80": 166912, "90": 232448, "100": 232448, "gfx942": 65536}  # bytes; the compiler does not check
COUNTED = {
    "spills": r"\b(?:LDL|STL)\b",
    "mma": r"\b(?:HGMMA|HMMA|UTC\w*MMA)\b",
    "wide loads": r"\b(?:LDG\.E|LDGSTS\.E)\.(?:\w+\.)*128|\bUTMALDG",
    "narrow": r"\b(?:LDG|STG)\.E\.(?:\w+\.)*[US]16\b",
    "barriers": r"\bBAR\.SYNC",
}


class Configuration(NamedTuple):
    """One row of the table."""

    name: str
    launch: Callable[[int], Launch]
    """By compute capability times 10."""
    registers: int
    """Budget of a thread on sm_90."""
    products: bool = True
    """It has matrix products, which must be those of tensor cores."""


def fused_qkv(L: int, E: int) -> tuple[Tensor, Tensor, Tensor]:
    """Slices of a fused projection along time, [B, N, L, heads, E], without memory."""
    fused = torch.empty(2, L, 1024, 3, 16, E, dtype=torch.bfloat16, device="meta")
    q, k, v = (x.transpose(1, 2) for x in fused.unbind(3))
    return q, k, v


def packed(_arch: int, *, L: int, E: int, masked: bool, backward: bool) -> Launch:
    q, k, v = fused_qkv(L, E)
    mask = torch.empty(2, 1024, L, dtype=torch.bool, device="meta") if masked else None
    angle = torch.empty(2, 1, L, 1, E // 2, dtype=torch.bfloat16, device="meta")
    out = torch.empty(2, L, 1024, 16, E, dtype=torch.bfloat16, device="meta").transpose(1, 2)
    given = (q, k, v, mask, prepared_angles((angle, angle), q), L, L, out)
    if backward:
        return packed_triton.backward_launch(*given, (out, out, out), tile=packed_triton.tile_of("backward", L, E))
    return packed_triton.forward_launch(*given, tile=packed_triton.tile_of("forward", L, E))


def packed_table() -> Iterator[Configuration]:
    shapes = [(L, E) for L, E in itertools.product((16, 64, 128), (64, 72, 128)) if packed_triton.longest(E) >= L]
    for (L, E), masked in [*itertools.product(shapes, (False, True)), ((16, 32), True), ((21, 64), True)]:
        for backward in (False, True):
            name = f"packed {'backward' if backward else 'forward'}, L {L}, E {E}{', masked' if masked else ''}"
            launch = functools.partial(packed, L=L, E=E, masked=masked, backward=backward)
            # 65,536 registers for 3 or more blocks forward and 2 backward; for 1 where a tile has 128 rows.
            budget = 255 if L > 64 else (168 if E <= 64 else 255) if backward else (128 if E <= 64 else 168)
            yield Configuration(name, launch, budget)


def flash(arch: int, *, kernel: flash_triton.Kernel, E: int, masked: bool, window: bool) -> Launch:
    q, k, v = fused_qkv(1024, E)
    q = k = dout = empty_like_caller(q)
    v = q if masked else v  # in place, or moved
    B, G, L, heads, _ = q.shape
    place = torch.empty(B, G, L, dtype=torch.int32, device="meta") if masked else None
    lse = torch.empty(B, G, heads, L, device="meta")
    tensors = dict(
        q=q, k=k, v=v, lse=lse, visible=None if place is None else place[..., 0], position=place if window else None
    )
    reach, cut = 64 if window else L, flash_triton.blocks(kernel, E, arch)
    if kernel == "forward":
        return flash_triton.forward_launch(tensors | dict(out=dout, place=place), reach, reach, cut=cut)
    tensors |= dict(dout=dout, delta=lse)
    if kernel == "dq":
        return flash_triton.dq_launch(tensors | dict(out=dout, dq=q, place=place), reach, reach, cut=cut)
    return flash_triton.dkdv_launch(tensors | dict(dk=q, dv=q), reach, reach, cut=cut)


def norm_rotate(arch: int, *, E: int, backward: bool) -> Launch:
    x = fused_qkv(1024, E)[1]
    y, angle = empty_like_caller(x), torch.empty(2, 1, 1024, 1, E // 2, dtype=torch.bfloat16, device="meta")
    place = torch.empty(x.shape[:3], dtype=torch.int32, device="meta")
    tensors = dict(dy=y, x=x, dx=y) if backward else dict(x=x, y=y)
    return norm_rotate_triton.launch(tensors, prepared_angles((angle, angle), x), place, place[..., 0], norm=True)


def flash_table() -> Iterator[Configuration]:
    for E, masked, window in itertools.product((64, 72, 128), (False, True), (False, True)):
        for kernel in get_args(flash_triton.Kernel):
            name = f"flash {kernel}, E {E}{', masked' if masked else ''}{', window' if window else ''}"
            launch = functools.partial(flash, kernel=kernel, E=E, masked=masked, window=window)
            # Two blocks of 256 threads share 65,536 registers, except where a window falls on moved keys.
            yield Configuration(name, launch, 255 if E > 64 or kernel == "dkdv" or (masked and window) else 128)
    for E, backward in itertools.product((64, 72, 128), (False, True)):
        name = f"norm and rotate{' backward' if backward else ''}, E {E}, masked"
        yield Configuration(name, functools.partial(norm_rotate, E=E, backward=backward), 128, products=False)


def gated_modulated(_arch: int, *, kernel: gated_modulated_triton.Kernel, D: int) -> Launch:
    x = torch.empty(2, 16 * 1024, D, dtype=torch.bfloat16, device="meta")
    table = torch.empty(2, 6, D, dtype=torch.bfloat16, device="meta")
    written = dict(stream=x, modulated=x) if kernel == "forward" else dict(dx=x, dy=x, sums=table.float())
    vectors: dict[str, Tensor] = dict.fromkeys(("gate", "shift", "scale"), table[:, 0])
    read = {name: vectors.get(name, x) for name in gated_modulated_triton.READ[kernel]}
    return gated_modulated_triton.launch(kernel, read | written)


def gated_modulated_table() -> Iterator[Configuration]:
    for D, kernel in itertools.product((256, 768, 1024, 2048), get_args(gated_modulated_triton.Kernel)):
        launch = functools.partial(gated_modulated, kernel=kernel, D=D)
        # 65,536 registers for 4 or more blocks of 128 threads; for 3 where a tile is one wide row and its sums.
        budget = 168 if D > 1024 and kernel == "backward" else 128
        yield Configuration(f"gate, norm, modulate {kernel}, D {D}", launch, budget, products=False)


CONFIGURATIONS = [*packed_table(), *flash_table(), *gated_modulated_table()]


class _Absent:
    """A driver of a GPU that is not here: enough for the compiler."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_device(self) -> tuple[str, Any]:
        return self.target.backend, self.target.arch

    def get_current_stream(self, device: object) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return self.target

    def is_active(self) -> bool:
        return True


def compiled(launch: Launch, target: GPUTarget) -> Any:
    driver.set_active(_Absent(target))  # type: ignore[arg-type]  # what the compiler asks of a driver
    kernel = launch.kernel.warmup(
        **launch.arguments, grid=(launch.programs,), num_warps=launch.warps, num_stages=launch.stages
    )
    return kernel.result() if hasattr(kernel, "result") else kernel


def inspected(kernel: Any, arch: str) -> dict[str, int]:
    """Registers, shared memory and instructions of the machine code."""
    if arch == "gfx942":
        text = kernel.asm["amdgcn"]
        found = {name: int(re.findall(rf"\.{name}:\s+(\d+)", text)[0]) for name in ("vgpr_count", "vgpr_spill_count")}
        counts = {
            "registers": found["vgpr_count"],
            "spills": found["vgpr_spill_count"],
            "mma": len(re.findall(r"\bv_mfma", text)),
            "wide loads": len(re.findall(r"_load_dwordx4", text)),
            "narrow": len(re.findall(r"_load_(?:ushort|short)|_store_short", text)),
            "barriers": len(re.findall(r"\bs_barrier", text)),
        }
        return counts | {"shared": kernel.metadata.shared}
    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(kernel.asm["cubin"])
        cubin.flush()
        usage, sass = (
            subprocess.run([tool, flag, cubin.name], capture_output=True, text=True, check=True).stdout
            for flag in ("-res-usage", "-sass")
        )
    registers = re.search(r"REG:(\d+)", usage)
    assert registers, usage
    counts = {name: len(re.findall(pattern, sass)) for name, pattern in COUNTED.items()}
    return {"registers": int(registers[1]), "shared": kernel.metadata.shared, **counts}


def faults(found: dict[str, int], configuration: Configuration, arch: str) -> list[str]:
    """Say what is wrong with the machine code, in words."""
    rules = {
        f"{found['spills']} spills": arch == "90" and found["spills"] > 0,
        "no tensor-core instruction": configuration.products and found["mma"] == 0,
        f"{found['narrow']} loads or stores of 2 bytes": found["narrow"] > 0,
        f"{found['shared']} bytes of shared memory, over {SHARED_LIMIT[arch]}": found["shared"] > SHARED_LIMIT[arch],
        f"{found['registers']} registers, over {configuration.registers}": arch == "90"
        and found["registers"] > configuration.registers,
    }
    # What is compiled for gfx942 is not tuned: that it compiles is all that is asked.
    return [] if arch == "gfx942" else [rule for rule, broken in rules.items() if broken]


def check(archs: list[str], only: str) -> list[dict[str, Any]]:
    chosen = [configuration for configuration in CONFIGURATIONS if only in configuration.name]
    rows = []
    for done, (arch, configuration) in enumerate(itertools.product(archs, chosen), 1):
        start = time.perf_counter()
        launch = configuration.launch(90 if arch == "gfx942" else int(arch))
        found = inspected(compiled(launch, TARGETS[arch]), arch)
        row = {"name": configuration.name, "arch": arch, "warps": launch.warps, **found}
        row["faults"] = faults(found, configuration, arch)
        rows.append(row)
        words = f"{found['registers']} registers, {time.perf_counter() - start:.1f} s"
        report = "; ".join(row["faults"]) or "fine"
        print(f"[{done}/{len(archs) * len(chosen)}] {arch} {configuration.name}: {report} ({words})", file=sys.stderr)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table with a line per configuration and three numbers per architecture: registers, shared memory, spills."""
    archs = list(dict.fromkeys(row["arch"] for row in rows))
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], {})[row["arch"]] = row
    head = "".join(f" {'sm_' if arch.isdigit() else ''}{arch} |" for arch in archs)
    lines = [
        f"Triton {triton.__version__}; registers of a thread / KiB of shared memory / tensor-core instructions, "
        "and spilled loads and stores if there are any.",
        "",
        f"| kernel | warps |{head}",
        f"|---|---|{'---|' * len(archs)}",
    ]
    for name, found in by_name.items():
        cells = (
            f" {row['registers']} / {row['shared'] / 1024:.0f} / {row['mma']}"
            + (f", {row['spills']} spills |" if row["spills"] else " |")
            for row in (found[arch] for arch in archs)
        )
        lines.append(f"| {name} | {next(iter(found.values()))['warps']} |{''.join(cells)}")
    return "\n".join(lines)


def write(rows: list[dict[str, Any]]) -> None:
    """Put the table between the markers in the README of the kernels."""
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{markdown(rows)}\n\n{END}{rest.split(END)[1]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=TARGETS, action="append", help="repeat for several; default: all")
    parser.add_argument("--only", default="", help="configurations whose name contains this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help=f"rewrite the table in {README.parent.name}/README.md")
    asked = parser.parse_args()
    rows = check(asked.arch or list(TARGETS), asked.only)
    if asked.write:
        write(rows)
    wrong = [row for row in rows if row["faults"]]
    if asked.json:
        print(json.dumps({"triton": triton.__version__, "rows": rows}))
    elif not asked.write:
        print(markdown(rows))
    print(f"{len(rows) - len(wrong)} of {len(rows)} configurations are fine", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
