"""Numbers with a unit, as a person reads them."""

__all__ = ["engineering"]

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"),
             (1e-15, "f"))


def engineering(value: float, unit: str) -> str:
    """Three digits with the prefix that suits: 1.38e-11 J is ``13.8 pJ``."""
    if value == 0:
        return f"0 {unit}"
    scale, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s * 0.9995), _PREFIXES[-1])
    digits = f"{value / scale:.3g}" if abs(value) < 1e12 else f"{value / scale:.4g}"
    return f"{digits} {prefix}{unit}"
