"""The network room: collectives, fabrics, flows. May import units, catalog, machine."""

from armillary.network.algorithms import bus_factor
from armillary.network.clos import Level, clos
from armillary.network.collectives import (
    all_gather,
    all_reduce,
    all_to_all,
    distinct_groups,
    reduce_scatter,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    send,
    tree_all_reduce,
)
from armillary.network.dispatchers import Dispatcher, dispatcher, exchange
from armillary.network.dragonfly import dragonfly
from armillary.network.equipment import NetworkCost, network_cost
from armillary.network.fabric import Fabric, Tree
from armillary.network.fabrics import ring_fabric, slice_fabric, switch_fabric
from armillary.network.flows import Completion, simulate
from armillary.network.max_min import is_max_min, max_min
from armillary.network.presets import fabric_presets, preset_fabric
from armillary.network.routes import Routes
from armillary.network.simulated import Simulated, simulate_collective
from armillary.network.switches import Switch
from armillary.network.torus import torus
from armillary.network.traffic import Traffic, all_to_all_flows, ring_flows, send_flows
from armillary.network.tuner import Choice, predict
from armillary.network.tuning import Tuning, tuning

__all__ = [
    "Choice",
    "Completion",
    "Dispatcher",
    "Fabric",
    "Level",
    "NetworkCost",
    "Routes",
    "Simulated",
    "Switch",
    "Traffic",
    "Tree",
    "Tuning",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_flows",
    "bus_factor",
    "clos",
    "dispatcher",
    "distinct_groups",
    "dragonfly",
    "exchange",
    "fabric_presets",
    "is_max_min",
    "max_min",
    "network_cost",
    "predict",
    "preset_fabric",
    "reduce_scatter",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_fabric",
    "ring_flows",
    "ring_reduce_scatter",
    "send",
    "send_flows",
    "simulate",
    "simulate_collective",
    "slice_fabric",
    "switch_fabric",
    "torus",
    "tree_all_reduce",
    "tuning",
]
