"""The interop room: other tools' formats, one file a format. May import the rooms above it."""

from armillary.interop.ec2_topology import read_ec2_topology
from armillary.interop.hostlists import compress, expand
from armillary.interop.nccl_topology import Gpu, Nic, NodeTopology, read_nccl_topology
from armillary.interop.perfetto import Counter, TraceSlice, perfetto_trace
from armillary.interop.skypilot import (
    AcceleratorPrice,
    Remark,
    SkyPilotCatalog,
    SkyPilotRow,
    read_skypilot,
)
from armillary.interop.skypilot_offers import skypilot_offers
from armillary.interop.slurm_topology import (
    SlurmTopology,
    read_slurm_conf,
    read_slurm_yaml,
    write_slurm_conf,
    write_slurm_yaml,
)
from armillary.interop.topograph import (
    read_node_labels,
    read_topograph_conf,
    read_topograph_graph,
    read_topograph_model,
)
from armillary.interop.topologies import KINDS, read_description, read_topology
from armillary.interop.trees import Topology

__all__ = [
    "KINDS",
    "AcceleratorPrice",
    "Counter",
    "Gpu",
    "Nic",
    "NodeTopology",
    "Remark",
    "SkyPilotCatalog",
    "SkyPilotRow",
    "SlurmTopology",
    "Topology",
    "TraceSlice",
    "compress",
    "expand",
    "perfetto_trace",
    "read_description",
    "read_ec2_topology",
    "read_nccl_topology",
    "read_node_labels",
    "read_skypilot",
    "read_slurm_conf",
    "read_slurm_yaml",
    "read_topograph_conf",
    "read_topograph_graph",
    "read_topograph_model",
    "read_topology",
    "skypilot_offers",
    "write_slurm_conf",
    "write_slurm_yaml",
]
