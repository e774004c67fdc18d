"""Records that the simulator's kernels work on: one row a replica, a sequence in flight, an engine, a timer.

Rows keep together what one event touches. All of a run's state is in these arrays, so that a run can stop
between two events, be written to a file and go on.
"""

from __future__ import annotations

import numpy as np

REPLICA = np.dtype(
    [
        ("start", "f8"),  # of the activity under way [s]
        ("context", "f8"),  # of decoding sequences, at `start` [token]
        ("held", "f8"),  # KV held, at `start` [token]
        ("steps", "i8"),  # decode steps so far, at `start`
        ("ahead", "i8"),  # steps of the activity under way
        ("group", "i8"),
        ("decoding", "i8"),  # sequences
        ("partial", "i8"),  # slot of the prompt that is partly done, -1 if none
        ("chunk", "i8"),  # tokens that it gets in this step
        ("fresh", "i8"),  # prompts whose last chunk is in this step
        ("waiting", "i8"),  # requests
        ("mode", "i8"),
        ("dirty", "i8"),  # stands in the list of replicas to plan
        ("busy", "f8"),  # [s]
        ("held_time", "f8"),  # integral of KV held over busy time [token s]
        ("decoded", "f8"),  # sequence-steps
        ("prefilled", "f8"),  # prompt tokens computed [token]
        ("expired", "i8"),  # running sequences whose deadline has passed
        ("preempted", "i8"),
        ("on_since", "f8"),  # [s]
        ("on_time", "f8"),  # [s]
        ("condition", "i8"),
        ("pinned", "i8"),  # cached blocks in use by running sequences
        ("delay", "f8"),  # added to the next step by loads from the host [s]
        ("era", "i8"),  # counts failures, so that late timers are known
        ("looked", "i8"),  # decode steps since it last looked at its queue
        ("look", "f8"),  # when that was [s]
        ("step", "f8"),  # time of the first step of the leap under way [s]
        ("slope", "f8"),  # more of each further one [s]
        ("asked", "i8"),  # tokens of the prompts in its queue [token]
        ("holding", "i8"),  # prompts wait for company
        ("patience", "i8"),  # decode steps that they have waited for it
    ],
    align=True,
)

IDLE, LEAP, MIXED, PROMPTS = 0, 1, 2, 3
"""Modes: nothing to do, decode steps alone, decodes with prompts, prompts alone."""

OFF, STARTING, ON, DRAINING, DOWN = 0, 1, 2, 3, 4
"""Conditions of a replica."""

SEQUENCE = np.dtype(
    [
        ("id", "i8"),
        ("arrival", "f8"),  # [s]
        ("first", "f8"),  # token; nan before [s]
        ("deadline", "f8"),  # [s]
        ("away", "f8"),  # one-way latency to the replica's region [s]
        ("joined", "f8"),  # when it came to its replica [s]
        ("front", "f8"),  # time outside of engines [s]
        ("lag", "f8"),  # the same in times per output token [-]
        ("context", "f8"),  # when decoding began [token]
        ("held", "f8"),  # KV of its own besides growth [token]
        ("begun", "i8"),  # decode step of the replica when decoding began
        ("ticket", "i8"),  # order of arrival
        ("admitted", "i8"),  # order of admission
        ("input", "i8"),
        ("output", "i8"),
        ("length", "i8"),  # prompt to compute: input and, after a preemption, what was generated
        ("done", "i8"),  # of the length
        ("given", "i8"),  # tokens generated before decoding began
        ("next", "i8"),
        ("replica", "i8"),
        ("level", "i8"),  # of priority, 0 goes first
        ("place", "i8"),
        ("ready", "i8"),  # its KV has come from a prefill replica
        ("preempted", "i8"),
        ("retries", "i8"),
        ("expired", "i8"),
        ("model", "i8"),
        ("region", "i8"),
        ("stored", "i8"),  # blocks that it has pinned in all
        ("cached", "i8"),  # tokens of prompt taken from the cache [token]
    ],
    align=True,
)

FREE, WAITING, PREFILLING, DECODING, MOVING = 0, 1, 2, 3, 4
"""Places of a sequence."""

ENGINE = np.dtype(
    [
        ("kv", "f8"),
        ("chunk_kv", "f8"),
        ("tokens_per_step", "f8"),
        ("beside", "f8"),
        ("joined", "f8"),
        ("kv_tokens", "f8"),
        ("max_sequences", "i8"),
        ("max_tokens", "i8"),
        ("decode", "i8"),  # where its tables begin in `table`
        ("mixed", "i8"),
        ("reserve", "i8"),
        ("chunked", "i8"),
        ("poll", "i8"),  # decode steps between looks at the queue
        ("hold", "i8"),  # decode steps that prompts wait for company
        ("hold_tokens", "i8"),  # tokens of prompts that are company enough [token]
        ("tells_first", "i8"),  # users see the first token when this group takes a request over
        ("hands_over", "i8"),  # to a decode group after the first token
        ("next_group", "i8"),
        ("transfer_latency", "f8"),  # [s]
        ("transfer", "f8"),  # [s/token]
        ("begin", "i8"),  # replicas of the group
        ("end", "i8"),
        ("turn", "i8"),  # of round robin
        ("model", "i8"),
        ("region", "i8"),
        ("entry", "i8"),  # requests come in here
        ("queue_limit", "i8"),  # waiting at one replica
        ("active", "i8"),  # replicas that are on
        ("starting", "i8"),
        ("least", "i8"),
        ("most", "i8"),
        ("scaled", "i8"),
        ("load", "i8"),  # requests on the group's replicas
        ("target", "f8"),  # requests per replica
        ("interval", "f8"),  # [s]
        ("start_up", "f8"),  # [s]
        ("mtbf", "f8"),  # [s]
        ("mttr", "f8"),  # [s]
        ("spill", "f8"),  # requests per replica above which others are asked
        ("front", "f8"),  # time of a request outside of engines [s]
        ("front_token", "f8"),  # the same for each token of its prompt [s/token]
        ("front_lag", "f8"),  # the same in times per output token [-]
        ("host_transfer", "f8"),  # of a prefix block's token from host memory [s/token]
    ],
    align=True,
)
"""An engine with the group of replicas that has it."""

DECODER = np.dtype([("finish", "i8"), ("slot", "i8")])
"""Entry of a replica's heap: the decode step at which a sequence is done."""

QUEUE = np.dtype([("head", "i8"), ("tail", "i8")])

TIMER = np.dtype([("time", "f8"), ("order", "i8"), ("kind", "i8"), ("what", "i8"), ("check", "i8")])

DELIVERY, TIMEOUT, TICK, STARTED, FAILURE, REPAIR = 0, 1, 2, 3, 4, 5
"""Kinds of timers."""

OVERALL = np.dtype(
    [
        ("now", "f8"),
        ("taken", "i8"),  # requests of this batch that have come in
        ("seen", "i8"),  # requests of earlier batches
        ("free", "i8"),  # first free slot, -1 if none
        ("in_flight", "i8"),
        ("most_in_flight", "i8"),
        ("ticket", "i8"),
        ("admitted", "i8"),
        ("dirty", "i8"),
        ("timers", "i8"),
        ("order", "i8"),
        ("random", "u8"),
        ("closed", "i8"),
        ("credit", "i8"),  # requests that users of a closed loop may send now
        ("router", "i8"),
        ("levels", "i8"),
        ("retries", "i8"),  # that a request may have
        ("guard", "f8"),  # of cache-aware routing [request]
        ("block", "i8"),  # tokens of a prefix block, 0 without a cache
        ("events", "i8"),
        ("ticks", "i8"),
        ("batches", "i8"),
        ("finished", "i8"),  # all requests of a stream have ended
        ("digest", "u8"),  # of the fleet and the options
        ("last", "f8"),  # time of the last completion or rejection [s]
        ("ttft_limit", "f8"),  # [s]
        ("tpot_limit", "f8"),  # [s]
        ("e2e_limit", "f8"),  # [s]
    ],
    align=True,
)

OUT_OF_REACH = 1 << 60
"""Added to the load of a replica that takes no requests."""

COMPLETED, REJECTED, TIMED_OUT = 1, 2, 3
"""Statuses; 0 is in flight."""

TOO_LONG, QUEUE_FULL, NO_REPLICA, DEADLINE, FAILED = 1, 2, 3, 4, 5
REASONS = (
    "",
    "prompt and output do not fit the KV of a replica",
    "queue full",
    "no replica is on",
    "deadline passed",
    "failures used up its retries",
)

OUT = np.dtype(
    [
        ("arrival", "f8"),
        ("first", "f8"),
        ("finish", "f8"),
        ("replica", "i4"),
        ("preempted", "i4"),
        ("retries", "i4"),
        ("status", "i2"),
        ("reason", "i2"),
        ("cached", "i4"),
    ],
    align=True,
)
"""A request's outcome."""
