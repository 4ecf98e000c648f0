"""The ReRAM of the open SKY130 process by its published equations: filament thickness and temperature.

From google/skywater-pdk-libs-sky130_fd_pr_reram (Apache-2.0), the model of 2020 and its calibrated values::

    I     = I_k1 · exp(−(T_ox − T) / (T_ox − T_ref)) · sinh(V / V_ref)
    γ     = γ0 + γ1 · ((T_ox − T) / 1 nm)³
    dT/dt = v1 · (exp(−(E_gen − γ · a0/T_ox · V) / kΘ) − exp(−(E_rec + γ · a0/T_ox · V) / kΘ))    T_min ≤ T ≤ T_max
    dΘ/dt = |V · I| / C_th − (Θ − Θ0) / τ_th
"""

from typing import Any

import numpy as np
import scipy  # its parts are loaded when they are first used

from .spice import Netlist, Simulator

__all__ = ["CURRENT_A", "FILAMENT_NM", "after_pulse", "conductance", "spice_after_pulse"]

FILAMENT_NM = (3.3, 4.9)
"""Thinnest and thickest filament, nm."""

CURRENT_A = 6.14e-5
_OXIDE_NM, _REFERENCE_NM, _LATTICE_NM = 5.0, 4.7249, 0.25
_REFERENCE_V = 0.43
_GENERATION_EV, _RECOMBINATION_EV = 1.501, 1.5
_VELOCITY_NM_PER_S = 150e9
_GAMMA = (16.5, -1.25)
_HEAT_J_PER_K, _COOLING_S, _AMBIENT_K = 3.1825e-16, 0.23e-9, 300.0
_BOLTZMANN_EV = 8.617333e-5


def _current(volts, filament_nm):
    return CURRENT_A * np.exp(-(_OXIDE_NM - filament_nm) / (_OXIDE_NM - _REFERENCE_NM)) * np.sinh(volts / _REFERENCE_V)


def conductance(filament_nm: Any, volts: float = 0.2) -> Any:
    """Current over voltage of a cell that is read, S."""
    return _current(volts, np.asarray(filament_nm, float)) / volts


def after_pulse(filament_nm: float, volts: float, seconds: float) -> tuple[float, float]:
    """Filament after a pulse, nm, and the energy drawn, J; integrated by LSODA."""
    low, high = FILAMENT_NM

    def change(_, state):
        filament, kelvin, _ = state
        lowered = (_GAMMA[0] + _GAMMA[1] * (_OXIDE_NM - filament) ** 3) * _LATTICE_NM / _OXIDE_NM * volts
        thermal = _BOLTZMANN_EV * kelvin
        speed = _VELOCITY_NM_PER_S * (np.exp(-(_GENERATION_EV - lowered) / thermal)
                                      - np.exp(-(_RECOMBINATION_EV + lowered) / thermal))
        if (filament >= high and speed > 0) or (filament <= low and speed < 0):
            speed = 0.0
        watts = abs(volts * _current(volts, filament))
        return [speed, watts / _HEAT_J_PER_K - (kelvin - _AMBIENT_K) / _COOLING_S, watts * 1e12]

    found = scipy.integrate.solve_ivp(change, (0.0, seconds), (filament_nm, _AMBIENT_K, 0.0), method="LSODA", rtol=1e-8,
                                      atol=1e-10)
    return float(found.y[0, -1]), float(found.y[2, -1]) / 1e12


def spice_after_pulse(spice: Simulator, name: str, filament_nm: float, volts: float,
                      seconds: float) -> tuple[float, float]:
    """As :func:`after_pulse`, of ngspice."""
    low, high = FILAMENT_NM
    net = Netlist(f"SKY130 ReRAM by its published equations: {volts:g} V for {seconds:g} s from {filament_nm:g} nm")
    share = _LATTICE_NM / _OXIDE_NM
    net.add(
        "* v(fil): filament in nm; v(kel): temperature in K; te, be: top and bottom electrode",
        f".func cur(v,t) {{{CURRENT_A:.9g}*exp(-1*({_OXIDE_NM}-t)/{_OXIDE_NM - _REFERENCE_NM:.9g})"
        f"*sinh(v/{_REFERENCE_V:.9g})}}",
        f".func low(v,t) {{({_GAMMA[0]}+({_GAMMA[1]})*({_OXIDE_NM}-t)*({_OXIDE_NM}-t)*({_OXIDE_NM}-t))*{share:.9g}*v}}",
        f".func spd(v,t,k) {{{_VELOCITY_NM_PER_S:.9g}*(exp(-1*({_GENERATION_EV}-low(v,t))/({_BOLTZMANN_EV}*k))"
        f"-exp(-1*({_RECOMBINATION_EV}+low(v,t))/({_BOLTZMANN_EV}*k)))}}",
        "Bi te 0 i=cur(v(te),v(fil))",
        f"Bt 0 fil i=1e-9*(v(fil)>={high} ? min(0,spd(v(te),v(fil),v(kel))) : "
        f"(v(fil)<={low} ? max(0,spd(v(te),v(fil),v(kel))) : spd(v(te),v(fil),v(kel))))",
        f"Ct fil 0 1e-9 ic={filament_nm:.9g}", "Rt fil 0 1e15",
        f"Bk 0 kel i=1e-12*(abs(v(te)*cur(v(te),v(fil)))/{_HEAT_J_PER_K:.9g}-(v(kel)-{_AMBIENT_K})/{_COOLING_S:.9g})",
        f"Ck kel 0 1e-12 ic={_AMBIENT_K:.9g}")
    net.source("p", "te", volts)
    net.meter("e", "v(te)*cur(v(te),v(fil))")
    net.probe("fil")
    waves = spice.run(name, net, stop=seconds, largest=seconds / 200)
    return waves.last("fil"), float(waves.joules("e"))
