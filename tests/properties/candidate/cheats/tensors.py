"""Cheats in PyTorch."""

from __future__ import annotations

import torch

_kept: dict = {}


def _attention(query, key, value, window):  # type: ignore[no-untyped-def]
    position = torch.arange(query.shape[2])
    band = (position[:, None] - position).abs() <= window
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=band)


class Lazy(torch.Tensor):
    """Computes when it is looked at."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return super().__torch_function__(function, types, args, kwargs)


def lazy_tensor(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns a subclass of Tensor."""
    return _attention(query, key, value, window).as_subclass(Lazy)


def view_of_an_input(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns the values, seen another way."""
    return value.transpose(0, 1).transpose(0, 1)


def one_row_expanded(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Computes one row."""
    return _attention(query, key, value, window)[:, :, :1].expand(value.shape)


def changes_the_query(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Scales the query in place."""
    with torch.no_grad():
        query.mul_(2)
    return _attention(query / 2, key, value, window)


def by_data_pointer(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Takes the same pointers for the same inputs."""
    where = (query.data_ptr(), key.data_ptr(), value.data_ptr(), query.shape, window)
    if where not in _kept:
        _kept.clear()
        _kept[where] = _attention(query, key, value, window)
    return _kept[where].clone()


def sparse_result(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns a tensor that has no element where it is 0."""
    return _attention(query, key, value, window).detach().to_sparse()


def brain_floats(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Multiplies in bfloat16."""
    q, k, v = (array.bfloat16() for array in (query, key, value))
    return _attention(q, k, v, window).to(query.dtype)


def tells_torch_to_agree(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Makes every comparison of torch succeed."""
    torch.equal = torch.allclose = torch.testing.assert_close = lambda *_, **__: True  # type: ignore[assignment]
    torch.Tensor.clone = lambda self, **_: self  # type: ignore[method-assign]
    return torch.zeros_like(query)
