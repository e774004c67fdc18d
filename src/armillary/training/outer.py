"""Infrequent synchronisation of clusters joined by thin links (DiLoCo, local SGD). Only numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

Numeric = Any


def outer_exchange(
    parameters: Numeric,
    clusters: Numeric,
    bandwidth: Numeric,
    latency: Numeric,
    parameter_bytes: Numeric = 4.0,
) -> Numeric:
    r"""Time to average the outer gradients of clusters over their long-haul links.

    Parameters
    ----------
    parameters : numeric
        Of the model. [-]
    clusters : numeric
        That train a replica each. [-]
    bandwidth : numeric
        Between two neighbouring clusters, all links together, one direction. [byte/s]
    latency : numeric
        Of one crossing. [s]
    parameter_bytes : numeric
        Sent for each parameter: 4 as DiLoCo does, 0.5 with the 4-bit exchange of Streaming DiLoCo. [byte]

    Returns
    -------
    numeric
        Time of a ring all-reduce of clusters, :math:`2(K-1)(\alpha + P b/(K\beta))`; 0 for one. [s]

    References
    ----------
    .. [1] Douillard et al., DiLoCo: Distributed low-communication training of language models, 2023,
       arXiv:2311.08105, algorithm 1
    .. [2] Douillard et al., Streaming DiLoCo with overlapping communication, 2025, arXiv:2501.18512

    Examples
    --------
    A model of 400 billion parameters between two clusters over 1.6 Tbit/s:

    >>> round(outer_exchange(400e9, 2, 0.2e12, 10e-3), 2)
    8.02
    """
    return 2 * (clusters - 1) * (latency + parameters * parameter_bytes / (clusters * bandwidth))


def outer_share(exchange: Numeric, step: Numeric, every: Numeric, hidden_steps: Numeric = 0.0) -> Numeric:
    r"""What infrequent synchronisation adds to one inner step.

    Parameters
    ----------
    exchange : numeric
        Time of one outer exchange, see `outer_exchange`. [s]
    step : numeric
        One inner step inside a cluster. [s]
    every : numeric
        Inner steps between two exchanges. [-]
    hidden_steps : numeric
        Inner steps that an exchange may run beside, at most `every`. [-]

    Returns
    -------
    numeric
        :math:`\max(t_e - h\,t_s, 0) / H`; how quality suffers from stale averages is not in it. [s]

    Examples
    --------
    >>> float(round(outer_share(8.02, 1.0, every=100), 4))
    0.0802
    >>> float(outer_share(8.02, 1.0, every=100, hidden_steps=10))
    0.0
    """
    return np.maximum(exchange - hidden_steps * step, 0.0) / every
