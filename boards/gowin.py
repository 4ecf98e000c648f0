"""Gowin devices with the tools of Project Apicula: nextpnr-himbaechel and gowin_pack."""

from typing import Any

__all__ = ["with_himbaechel"]

_PLACE = r"""
{{invoke_tool("nextpnr-himbaechel-gowin")}}
    {{quiet("--quiet")}}
    {{get_override("nextpnr_opts")|options}}
    --log {{name}}.tim
    --device {{platform.part}}
    --vopt family=DEVICE
    --vopt cst={{name}}.cst
    --json {{name}}.syn.json
    --write {{name}}.pnr.json
"""
_PACK = r"""
{{invoke_tool("gowin_pack")}}
    -d DEVICE
    -o {{name}}.fs
    {{get_override("gowin_pack_opts")|options}}
    {{name}}.pnr.json
"""


def with_himbaechel(platform: Any, device: str) -> Any:
    """A Gowin platform of amaranth-boards that asks for the tools of today: Amaranth's own nextpnr-gowin is no more.

    Parameters
    ----------
    platform : class
        A subclass of ``amaranth.vendor.GowinPlatform``.
    device : :class:`str`
        As nextpnr and gowin_pack call it, such as ``GW1N-9C``.
    """
    return type(platform.__name__, (platform,), {
        "required_tools": ("yosys", "nextpnr-himbaechel-gowin", "gowin_pack"),
        "command_templates": (platform._apicula_command_templates[0], _PLACE.replace("DEVICE", device),
                              _PACK.replace("DEVICE", device))})
