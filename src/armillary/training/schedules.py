"""Pipeline schedules: the bubble, and how many micro-batches a stage holds. Only numpy.

Times are those of one whole stage for one micro-batch; `schedule` indexes `layout.SCHEDULES`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Numeric = Any


def bubble(
    schedule: Numeric,
    pp: Numeric,
    vpp: Numeric,
    forward: Numeric,
    input_gradient: Numeric,
    weight_gradient: Numeric,
) -> Numeric:
    r"""Idle time of a stage in one step.

    Parameters
    ----------
    schedule : numeric
        0 1F1B (interleaved where `vpp` > 1), 1 zero-bubble (ZB-H1), 2 DualPipe. [-]
    pp, vpp : numeric
        Stages, and model chunks a stage. [-]
    forward, input_gradient, weight_gradient : numeric
        Of one micro-batch through one stage. [s]

    Notes
    -----
    * 1F1B: :math:`(p-1)(F+B+W)/v` [1]_
    * zero-bubble H1: :math:`(p-1)(F+B-W)` where B is the input gradient alone [2]_, at most 1F1B's
    * DualPipe: :math:`(p/2-1)(F\&B + B - 3W)` where B is the whole backward pass and F&B, forward and
      backward of two micro-batches run together, takes no longer than their sum [3]_

    References
    ----------
    .. [1] Narayanan et al. 2021, arXiv:2104.04473, section 2.2
    .. [2] Qi et al. 2023, arXiv:2401.10241, table 1
    .. [3] DeepSeek-AI 2024, arXiv:2412.19437, table 2

    Examples
    --------
    >>> float(bubble(0, 8, 1, 1.0, 1.0, 1.0)), float(bubble(0, 8, 4, 1.0, 1.0, 1.0))
    (21.0, 5.25)
    """
    whole = forward + input_gradient + weight_gradient
    interleaved = (pp - 1) * whole / vpp
    zero = np.maximum((pp - 1) * (forward + input_gradient - weight_gradient), 0.0)
    dual = np.maximum((pp / 2 - 1) * (forward + 2 * input_gradient - weight_gradient), 0.0)
    kind = np.asarray(schedule)
    return np.where(kind == 0, interleaved, np.where(kind == 1, zero, dual))


def micro_batches_held(schedule: Numeric, pp: Numeric, vpp: Numeric, micro_batches: Numeric) -> Numeric:
    """Micro-batches whose activations the first stage holds at the worst moment.

    1F1B and ZB-H1 hold `pp` [1]_; interleaving adds :math:`(p-1)/v` (Korthikanti et al. 2022,
    arXiv:2205.05198, section 4.2.3); DualPipe holds `pp + 1` (DeepSeek-V3, table 2). Never more than
    there are.

    Examples
    --------
    >>> float(micro_batches_held(0, 8, 1, 64)), float(micro_batches_held(0, 8, 4, 64))
    (8.0, 9.75)
    """
    interleaved = np.where(np.asarray(vpp) > 1, pp + (pp - 1) / vpp, pp)
    dual = np.where(np.asarray(pp) > 1, pp + 1, 1)
    held = np.where(np.asarray(schedule) == 2, dual, interleaved)
    return np.minimum(held, micro_batches)


def weight_copies(schedule: Numeric, pp: Numeric) -> Numeric:
    """How many stages' weights an accelerator holds: 2 under DualPipe, else 1."""
    return np.where((np.asarray(schedule) == 2) & (np.asarray(pp) > 1), 2.0, 1.0)
