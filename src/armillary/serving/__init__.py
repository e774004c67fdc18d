"""Room `serving`: inference engines, requests, fleets and their sizes; imports the rooms above operations."""

from armillary.serving.calibration import FrontEnd, engines, front_end, serving_table, sustained
from armillary.serving.cells import LognormalTraffic, simulate_cells
from armillary.serving.deployment import Failures, Outage, Pool, Scaling
from armillary.serving.engine import Replica
from armillary.serving.kernels import Sustained
from armillary.serving.layout import EngineLayout
from armillary.serving.memory import ReplicaMemory, replica_memory
from armillary.serving.outcome import Outcome
from armillary.serving.precision import PRECISIONS, Precision, precision
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate, simulate_closed
from armillary.serving.sizing import Sized, Targets, Workload, size
from armillary.serving.step import Batch, Speculation, StepTime, step_time
from armillary.serving.step_cost import Engine, StepCost
from armillary.serving.streaming import simulate_stream
from armillary.serving.traces import Trace

__all__ = [
    "PRECISIONS",
    "Batch",
    "Engine",
    "EngineLayout",
    "Failures",
    "FrontEnd",
    "LognormalTraffic",
    "Outage",
    "Outcome",
    "Pool",
    "Precision",
    "Replica",
    "ReplicaMemory",
    "Requests",
    "Scaling",
    "Sized",
    "Speculation",
    "StepCost",
    "StepTime",
    "Sustained",
    "Targets",
    "Trace",
    "Workload",
    "engines",
    "front_end",
    "precision",
    "replica_memory",
    "serving_table",
    "simulate",
    "simulate_cells",
    "simulate_closed",
    "simulate_stream",
    "size",
    "step_time",
    "sustained",
]
