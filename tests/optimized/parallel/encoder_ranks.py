"""One rank of an encoder over ranks: python encoder_ranks.py RANK RANKS FOLDER, which has case.json, cuts.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from trueband.optimized.parallel import over_ranks
from trueband.properties.models.case import ModelCase
from trueband.witnesses.models import OptimizedModels


def main(rank: int, ranks: int, folder: Path) -> None:
    torch.set_num_threads(1)
    case = ModelCase.from_dict(json.loads((folder / "case.json").read_text()))
    told = json.loads((folder / "cuts.json").read_text())
    cuts, given = told["cuts"], dict(np.load(folder / "inputs.npz"))
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=ranks)
    model: Any = OptimizedModels().build(case.model)
    own = slice(cuts[rank], cuts[rank + 1])
    shard = {name: torch.tensor(array[:, own]) for name, array in given.items() if name != "decoder_input_ids"}
    found: dict[str, Any] = {}
    if case.architecture == "led":
        model = model.get_encoder()
        shard.pop("labels", None)
    if told["masks_on_rank_0_only"] and rank:
        shard.pop("attention_mask")
    with over_ranks(model):
        try:
            output = model(**shard)
        except ValueError as error:
            (folder / f"error{rank}").write_text(str(error))
            return
        states = output.last_hidden_state if case.architecture == "led" else output.logits
        if case.architecture != "led":
            share = int((given["labels"][:, own] != -100).sum()) / int((given["labels"] != -100).sum())
            (output.loss * share if share else 0 * states.sum()).backward()
            found = {f"gradient {name}": p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    np.savez(folder / f"rank{rank}.npz", states=states.detach().numpy(), **found)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
