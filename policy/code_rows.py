"""Columns of codes turned to rows, by lead and by asset, as the generated functions take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.evaluate import Domain


def by_lead(
    domain: Domain, columns: Mapping[str, NDArray[Any]], facts: tuple[str, ...], n: int, channels: int
) -> list[tuple[Any, ...]]:
    """Per lead what `ask` takes: for each fact its code, or its codes by channel."""
    found: list[list[Any]] = []
    for fact in facts:
        column = columns.get(fact)
        full = np.full((1, 1, 1), domain.unknown(fact)) if column is None else _no_stray_code(domain, fact, column)
        if domain.facts[fact].per == "channel":
            found.append(np.broadcast_to(full, (n, 1, channels)).reshape(n, channels).tolist())
        else:
            found.append(np.broadcast_to(full, (n, 1, 1)).reshape(n).tolist())
    return list(zip(*found, strict=True)) if found else [()] * n


def by_asset(
    domain: Domain, columns: Mapping[str, NDArray[Any]], facts: tuple[str, ...], lead: int, assets: int, channels: int
) -> list[tuple[Any, ...]]:
    """What `content` or `fit` takes for each asset of one lead."""
    fields: list[Any] = []
    for fact in facts:
        column = columns.get(fact)
        if domain.facts[fact].per == "asset_channel":
            full = np.full((1, 1, 1), domain.unknown(fact)) if column is None else _no_stray_code(domain, fact, column)
            fields.append([tuple(codes) for codes in np.broadcast_to(full, (1, assets, channels))[0].tolist()])
        elif column is None:
            fields.append([domain.unknown(fact)] * assets)
        else:
            column = _no_stray_code(domain, fact, column)
            codes: list[int] = column[lead if column.shape[0] > 1 else 0, :, 0].tolist()
            fields.append(codes if len(codes) == assets else codes * assets)
    return list(zip(*fields, strict=True)) if fields else [()] * assets


def _no_stray_code(domain: Domain, fact: str, column: NDArray[Any]) -> NDArray[Any]:
    """A column whose codes beyond a byte are unknown: generated code makes bit sets as wide as the greatest code."""
    if column.dtype.itemsize == 1 or domain.unknown(fact) != 0:
        return column
    return np.where(column > 255, 0, column)
