"""What the stages ask for on a device, where no rehearsal comes: every command is one that the command line takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from device import recorder
from device.contenders import FLASH, builders, flash
from device.cuda import Device
from device.stages import bench, check, emulator, large, memory, models, peers, sanitizer, smoke, tune
from device.tiles import winners
from device.unit import Context

from trueband.adapters import resolve
from trueband.bench.shape import Shape
from trueband.cli import parser
from trueband.optimized.attention.triton import places
from trueband.optimized.attention.triton.blocks import INTERPRETED, Tile
from trueband.properties.checks import CHECKS
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.running.plan import matches

GATED = (smoke, check, large, models, peers)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(False, {}, tmp_path, lambda part, values: None)


@pytest.mark.parametrize("stage", GATED, ids=lambda stage: stage.__name__.split(".")[-1])
def test_every_command_is_one_that_the_gate_takes(stage: Any, context: Context, monkeypatch: Any) -> None:
    """It parses, its target exists, and what it selects is some check, but not all."""
    asked: list[Any] = []

    def kept(_: Context, runs: dict[str, Any]) -> dict[str, Any]:
        asked.extend(runs.values())
        return {}

    monkeypatch.setattr(stage, "check", kept)
    monkeypatch.setattr(peers, "find_spec", lambda package: object())
    for unit in stage.units(False):
        if unit.run is not getattr(large, "of_edge", None):
            unit.run(context, *unit.arguments)
    assert asked
    for arguments in asked:
        options = parser().parse_args(["check", *arguments])
        of_models = options.suite == "models"
        names = list(MODEL_CHECKS if of_models else CHECKS)
        chosen = [name for name in names if matches(options.select, name)]
        assert chosen
        assert (len(chosen) < len(names)) == bool(options.select)
        assert options.device == ("cpu" if of_models else "cuda")
        if not of_models:
            resolve(options.target, "operator")


def test_the_passes_of_the_check_leave_nothing_out() -> None:
    for name in CHECKS:
        assert sum(matches(selected, name) for selected in check.PASSES.values()) == 1


def test_each_stage_has_units_with_names_of_their_own(tmp_path: Path) -> None:
    for stage in (*GATED, bench, emulator, memory, sanitizer, tune):
        for rehearsed in (False, True):
            names = [unit.name for unit in stage.units(rehearsed)]
            assert names
            assert len(names) == len(set(names))


def test_every_shape_of_the_bench_has_contenders_and_a_floor(context: Context, monkeypatch: Any) -> None:
    monkeypatch.setattr(bench, "products", lambda device, dtype: 8e14)
    monkeypatch.setattr(bench, "bandwidth", lambda device: 3e12)
    vars(context)["device"] = None
    for level, tokens, window, both in bench.SHAPES:
        shape = Shape(level, tokens, window, both, dtype="bfloat16", device="cuda")
        assert {"trueband"} < builders(shape).keys()
        floor = bench.floor_of(context, shape)
        assert floor is None or 1e-7 < floor < 1
        assert (floor is None) == (level in ("module", "encoder", "generation"))
    # 2 products of 64 x 16,384 x 1,025 multiply-adds less the corners, for each of 12 heads.
    shape = Shape("operator", 16384, 512, dtype="bfloat16", device="cuda")
    assert bench.floor_of(context, shape) == 4 * 12 * 64 * (16384 * 1025 - 512 * 513) / 8e14


def test_flash_attention_is_called_with_its_own_layout(monkeypatch: Any) -> None:
    import sys
    from types import SimpleNamespace

    seen: list[Any] = []

    def attention(query: Any, key: Any, value: Any, window_size: Any) -> Any:
        seen.append((query.shape, window_size))
        return query

    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_func=attention, __spec__=object()))
    shape = Shape("operator", 32, 4, heads=2, head_dim=8)
    flash(shape).compute()
    assert seen == [((1, 32, 2, 8), (4, 4))]
    assert FLASH in builders(Shape("operator", 32, 4, device="cuda"))


def test_tiles_are_such_as_the_kernels_take() -> None:
    for kind in ("half", "tf32", "float32"):
        tiles = [Tile(*each) for each in tune.candidates(kind, rehearsed=False)]
        assert len(tiles) == len(set(tiles)) > 10
        for tile in tiles:
            assert 512 % tile.queries == 512 % tile.keys == 0  # parts of rows are whole tiles
            assert tile.warps in (4, 8)


def test_launches_on_a_device_run_through_the_recorder(monkeypatch: Any) -> None:
    monkeypatch.setattr(places, "architecture", lambda device: "sm_90")
    before = places.run
    given = recorder.Recorder(recorder.on_device)
    with emulator.recording(given, rehearsed=False):
        assert places.place_of(torch.device("cuda")).run is given
    assert places.run is before

    class Kernel:
        """Of triton.jit."""

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            return lambda *arguments, **constants: (grid, arguments, constants)

    done = recorder.on_device(Kernel(), 3, (1, 2), {"BLOCK": 16}, 4, 2)  # type: ignore[arg-type]
    assert done == ((3,), (1, 2), {"BLOCK": 16, "num_warps": 4, "num_stages": 2})


def test_a_tile_that_spills_never_wins(tmp_path: Path, monkeypatch: Any) -> None:
    """The fastest spills, one does not fit: the next is told, beside the shipped one."""

    class Passes:
        work = type("Work", (), {"blocks": INTERPRETED})

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def timed(self, kernel: str, tile: Any) -> dict[str, Any]:
            if tile.keys == 128:
                raise RuntimeError("out of resource: shared memory")
            spills = 8 if tile.keys == 64 else 0
            return {"seconds": 1 / (tile.keys * tile.queries * tile.warps * tile.stages), "spills": spills}

    monkeypatch.setattr(tune, "Passes", Passes)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    context = Context(False, {}, tmp_path, lambda part, values: None)
    from device import rehearsed_cuda

    vars(context)["device"] = Device(rehearsed_cuda, "cpu", False)
    found = tune.of_kernel(context, "forward", "half", "bfloat16", 64)
    assert found["winner"]["tile"] == [128, 32, 8, 3]
    assert found["winner"]["architecture"] == "sm_80"
    assert any("out of resource" in entry.get("message", "") for entry in found["seen"])
    assert "times as fast as the shipped [32, 16, 4, 2]" in found["summary"]


def test_the_table_of_winners_has_the_last_of_each_and_no_rehearsal() -> None:
    def won(kernel: str, *tile: int) -> dict[str, Any]:
        winner = {"architecture": "sm_90", "format": "half", "head_dim": 64, "kernel": kernel, "tile": list(tile)}
        return {"record": "unit", "stage": "tune", "unit": kernel, "winner": winner}

    run, rehearsal = ({"record": "run", "rehearsed": rehearsed} for rehearsed in (False, True))
    lines = [run, won("forward", 32, 32, 4, 2), won("backward_key", 64, 32, 4, 2), won("forward", 64, 64, 4, 3)]
    table = {"sm_90": {"half": {"64": {"forward": [64, 64, 4, 3], "backward_key": [64, 32, 4, 2]}}}}
    assert winners([*lines, rehearsal, won("forward", 16, 16, 4, 2)]) == table
