"""The bounds that fields carry in their ``msgspec.Meta``, checked after a struct was put together."""

from __future__ import annotations

import msgspec

from raft_exporter.notation import format_duration
from raft_exporter.strict_yaml import Faults, Notation, join_path, unwrap


def check_bounds(struct: msgspec.Struct, path: str, faults: Faults) -> None:
    """Note every number and duration out of its Meta's bounds, and every list under its ``min_length``."""
    for field in msgspec.structs.fields(struct):
        value, key_path = getattr(struct, field.name), join_path(path, field.encode_name)
        extras = unwrap(field.type)[1]
        duration = any(isinstance(extra, Notation) for extra in extras)
        for meta in extras:
            if not isinstance(meta, msgspec.Meta):
                continue
            if isinstance(value, int | float):
                _check_number(value, meta, key_path, faults, duration=duration)
            elif isinstance(value, tuple) and meta.min_length is not None and len(value) < meta.min_length:
                faults.add(key_path, f"expected at least {meta.min_length} in the list, got {len(value)}")
        for index, item in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(item, msgspec.Struct):
                check_bounds(item, f"{key_path}[{index}]", faults)
        if isinstance(value, msgspec.Struct):
            check_bounds(value, key_path, faults)


def _check_number(value: float, meta: msgspec.Meta, path: str, faults: Faults, *, duration: bool) -> None:
    least, above, most = meta.ge, meta.gt, meta.le
    enough = (least is None or value >= least) and (above is None or value > above)
    if most is None or (enough and value <= most):
        return
    low = f"above {_written(above, duration=duration)}, up" if above is not None else ""
    low = low or f"from {_written(least or 0, duration=duration)}"
    kind = "a duration" if duration else "a number"
    bounds = f"{low} to {_written(most, duration=duration)}"
    faults.add(path, f"expected {kind} {bounds}, got {_written(value, duration=duration)}")


def _written(value: float, *, duration: bool) -> str:
    return format_duration(value) if duration else f"{value:.15g}"
