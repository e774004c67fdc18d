"""A whole fleet token by token, in plain Python: prefix caches, host memory, outages, scaling, regions.

As `reference`, with all that happens between replicas. What is held is counted anew from sequences whenever
it is asked for; a prefix cache is two dictionaries in order of use. Only the order in which sequences that
end in one step give back their blocks is taken from the simulator's heap, as nothing else defines it.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from armillary.serving.decoders import push_decoder, remove_decoder
from armillary.serving.records import DECODER

INF = float("inf")
COMPLETED, REJECTED, TIMED_OUT = 1, 2, 3
OFF, STARTING, ON, DRAINING, DOWN = "off", "starting", "on", "draining", "down"


@dataclass(eq=False)
class Sequence:
    id: int
    arrival: float
    input: int
    output: int
    model: int = 0
    region: int = 0
    priority: int = 0
    timeout: float = INF
    blocks: tuple = ()
    ticket: int = 0
    length: int = 0
    done: int = 0
    generated: float = 0.0
    before: int = 0
    decoding: bool = False
    ready: bool = False
    pinned: list = field(default_factory=list)
    cached: int = 0
    place: str = "out"
    where: object = None
    expired: bool = False
    away: float = 0.0
    front: float = 0.0
    retries: int = 0
    first: float = math.nan
    finish: float = math.nan
    status: int = 0
    reason: str = ""

    def start_over(self):
        self.first, self.length, self.done, self.before = math.nan, self.input, 0, 0
        self.ready, self.cached, self.generated, self.decoding, self.pinned = False, 0, 0.0, False, []


class Replica:
    def __init__(self, group, condition, block, host_blocks):
        self.group, self.condition, self.block, self.host_blocks = group, condition, block, host_blocks
        self.engine, self.era = group.engine, 0
        self.heap = np.zeros(self.engine.max_sequences, DECODER).view(np.recarray)
        self.by_id = {}
        self.device, self.host = OrderedDict(), OrderedDict()
        self.load, self.end, self.steps = 0, INF, 0
        self.waiting, self.running, self.chunks, self.decodes = [], [], [], False

    # What is held
    def full(self, s):
        if self.engine.reserve:
            if self.engine.role == "prefill":
                return s.length + 1
            a = self.engine.cost.tokens_per_step
            return s.input + s.output + (a if a > 1 else 0)
        return s.length + 1 + (s.generated if s.decoding else 0)

    def shared(self):
        return {b for s in self.running for b in s.pinned}

    def held(self):
        own = sum(self.full(s) - self.block * len(s.pinned) for s in self.running)
        return own + self.block * len(self.shared())

    def decoders(self):
        return [s for s in self.running if s.decoding]

    def growth(self):
        return 0 if self.engine.reserve else self.engine.cost.tokens_per_step

    # The prefix cache
    def hits(self, s):
        if not self.block or s.ready:
            return []
        found, shared = [], self.shared()
        for b in s.blocks[: (s.length - 1) // self.block]:
            if b not in shared and b not in self.device and b not in self.host:
                break
            found.append(b)
        return found

    def pin(self, s, blocks):
        for b in blocks:
            self.device.pop(b, None)
            self.host.pop(b, None)
            s.pinned.append(b)

    def trim(self):
        if not self.block:
            return
        room = math.floor((self.engine.kv_tokens - self.held()) / self.block)
        while self.device and len(self.device) > room:
            b = self.device.popitem(last=False)[0]
            if self.host_blocks:
                self.host[b] = None
                if len(self.host) > self.host_blocks:
                    self.host.popitem(last=False)

    def release(self, s):
        self.running.remove(s)
        shared = self.shared()
        for b in reversed(s.pinned):
            if b not in shared:
                self.device[b] = None
        s.pinned = []
        self.trim()

    # Sequences that decode, in the simulator's heap for the order among equals
    def decode_from_now(self, s):
        s.decoding, s.generated = True, 0.0
        left = math.ceil((s.output - s.before) / self.engine.cost.tokens_per_step)
        push_decoder.py_func(self.heap, len(self.by_id), self.steps + left, s.id)
        self.by_id[s.id] = s

    def leave_heap(self, at):
        s = self.by_id[int(self.heap[at]["slot"])]
        remove_decoder.py_func(self.heap, len(self.by_id), at)
        del self.by_id[s.id]
        return s

    def preempt(self):
        stopped = False
        while self.held() + len(self.decoders()) * self.growth() > self.engine.kv_tokens:
            s = self.running[-1]
            if s.decoding:
                slots = self.heap["slot"][: len(self.by_id)].tolist()
                self.leave_heap(slots.index(s.id))
                s.before += math.floor(s.generated)
            self.release(s)
            s.length, s.done, s.generated = s.input + s.before, 0, 0.0
            s.decoding = s.ready = False
            s.place = "waiting"
            self.waiting.append(s)
            stopped = True
        return stopped

    def start(self, now):
        e, cost = self.engine, self.engine.cost
        self.chunks, self.decodes, delay = [], True, 0.0
        stopped = e.chunked and self.preempt()
        budget = e.max_tokens - (len(self.decoders()) if e.chunked else 0)
        for s in self.running:
            if not s.decoding:
                self.chunks.append((s, s.done, min(budget, s.length - s.done)))
                budget -= self.chunks[-1][2]
        while self.waiting and budget > 0 and len(self.running) < e.max_sequences and not stopped:
            s = min(self.waiting, key=lambda s: (s.priority, s.ticket))
            hits = self.hits(s)
            loose = [b for b in hits if b not in self.shared()]
            cached = len(hits) * self.block
            need = self.full(s) - cached
            decoders = len(self.decoders()) + s.ready
            if self.held() + decoders * self.growth() + need + len(loose) * self.block > e.kv_tokens:
                break
            if not e.chunked and not s.ready and s.length - cached > budget:
                break
            delay += sum(b in self.host for b in hits) * self.block * self.group.host_transfer
            self.waiting.remove(s)
            self.running.append(s)
            s.place = "running"
            if self.block:
                if not s.ready:
                    s.done = s.cached = cached
                self.pin(s, hits)
                self.trim()
            if s.ready:
                self.decode_from_now(s)
                budget -= e.chunked
                continue
            self.chunks.append((s, s.done, min(budget, s.length - s.done)))
            budget -= self.chunks[-1][2]
        tokens = sum(c for _, _, c in self.chunks)
        attention = cost.chunk_kv * sum(c * (p + c / 2) for _, p, c in self.chunks)
        if tokens and not e.chunked:
            self.decodes = False
            self.end = now + cost.mixed[tokens] + attention + delay
            return
        if not tokens and not e.chunked:
            self.preempt()
        decoders = self.decoders()
        read = cost.kv * sum(s.length + 1 + s.generated for s in decoders)
        if tokens:
            beside = cost.beside * len(decoders) + cost.joined * bool(decoders)
            self.end = now + cost.mixed[len(decoders) + tokens] + beside + read + attention + delay
        elif decoders:
            self.end = now + cost.decode[len(decoders)] + read + delay
        else:
            self.end = INF

    def stop(self, now):
        """Apply the step; returns sequences that completed, and those whose prompt alone was to be done."""
        gone, handed = [], []
        self.end = INF
        if self.decodes:
            for s in self.decoders():
                s.generated += self.engine.cost.tokens_per_step
            self.steps += 1
            self.trim()
            while self.by_id and self.heap[0]["finish"] <= self.steps:
                s = self.leave_heap(0)
                self.release(s)
                gone.append(s)
        for s, _, c in self.chunks:
            s.done += c
        for s, _, _ in self.chunks:
            if s.done < s.length:
                continue
            s.before += 1
            s.first = now if math.isnan(s.first) else s.first
            if self.block:
                self.pin(s, s.blocks[len(s.pinned) : s.input // self.block])
                self.trim()
            if s.before >= s.output or self.engine.role == "prefill":
                self.release(s)
                (gone if s.before >= s.output else handed).append(s)
            else:
                self.decode_from_now(s)
        return gone, handed

    def sweep(self):
        """Running sequences whose deadline has passed."""
        gone, at = [], 0
        while at < len(self.by_id):
            if self.by_id[int(self.heap[at]["slot"])].expired:
                gone.append(self.leave_heap(at))
                self.release(gone[-1])
                at = 0
            else:
                at += 1
        for s in [s for s in self.running if s.expired]:
            self.release(s)
            gone.append(s)
        return gone

    def lose(self):
        """All requests of a replica that fails, in order of arrival."""
        lost = sorted(self.waiting + self.running, key=lambda s: s.ticket)
        self.waiting, self.running, self.chunks, self.end = [], [], [], INF
        self.by_id = {}
        self.device.clear()
        self.host.clear()
        return lost


class Group:
    def __init__(self, pool, engine, count, scaling, entry, block, host_tokens, host_transfer):
        self.pool, self.engine, self.scaling, self.entry = pool, engine, scaling, entry
        self.host_transfer, self.turn, self.next = host_transfer, 0, None
        room = max(count, scaling.most) if scaling else count
        blocks = int(host_tokens // block) if block else 0
        self.replicas = [Replica(self, ON if i < count else OFF, block, blocks) for i in range(room)]

    def on(self):
        return [r for r in self.replicas if r.condition == ON]

    def load(self):
        return sum(r.load for r in self.replicas)

    def choose(self, s, routing, guard):
        on = self.on()
        if not on:
            return None
        if routing == "least_loaded":
            return min(on, key=lambda r: r.load)
        if routing == "cache_aware":
            least = min(on, key=lambda r: r.load)
            if s.ready:
                return least
            near = [r for r in on if r.load <= least.load + guard]
            return min(near, key=lambda r: (-len(r.hits(s)), r.load))
        while True:
            r = self.replicas[self.turn]
            self.turn = (self.turn + 1) % len(self.replicas)
            if r.condition == ON:
                return r


def never_fits(e, s):
    most = s.input + s.output + (e.cost.tokens_per_step if e.cost.tokens_per_step > 1 else 0)
    if e.role == "prefill":
        most = s.input + 1
    if most > e.kv_tokens:
        return True
    alone = s.input if e.reserve or e.role == "prefill" else s.input + s.output - 1
    return not e.chunked and alone > e.max_tokens


class Fleet:
    def __init__(self, sequences, pools, routing, retries, guard, block, host, latency, outages):
        self.sequences, self.pools, self.routing, self.guard = sequences, pools, routing, guard
        self.most_retries, self.latency, self.outages = retries, latency, outages
        self.timers, self.order, self.now = [], 0, 0.0
        self.groups = []
        for p in pools:
            tokens, transfer = host if p.host_tokens is None else (p.host_tokens, p.host_transfer)
            more = (block, tokens, transfer)
            self.groups.append(Group(p, p.engine, p.replicas, p.scaling, True, *more))
            if p.decode is not None:
                second = Group(p, p.decode, p.decode_replicas, p.decode_scaling, False, *more)
                self.groups[-1].next = second
                self.groups.append(second)
        self.replicas = [r for g in self.groups for r in g.replicas]

    def timer(self, time, kind, *what):
        self.order += 1
        heapq.heappush(self.timers, (time, self.order, kind, what))

    def end(self, s, status, reason="", time=None):
        s.status, s.reason, s.place = status, reason, "out"
        s.finish = (self.now if time is None else time) + s.away
        s.first += s.away
        if status == COMPLETED:
            s.finish, s.first = s.finish + s.front, s.first + s.front

    def leave(self, s):
        s.where.load -= 1
        self.settle_drained(s.where)

    def settle_drained(self, r):
        if r.condition == DRAINING and r.load == 0:
            r.condition = OFF

    def send(self, s):
        mine = [g for g in self.groups if g.entry and g.pool.model == s.model]
        mine.sort(key=lambda g: (g.pool.region != s.region, self.latency[s.region][g.pool.region]))
        alive = [g for g in mine if g.on()]
        below = [g for g in alive if g.load() < g.pool.spill * len(g.on())]
        group = (below or alive or [None])[0]
        r = group and group.choose(s, self.routing, self.guard)
        if r is None:
            return self.end(s, REJECTED, "no replica is on")
        decode = group.pool.decode
        if never_fits(r.engine, s) or (decode is not None and s.output > 1 and never_fits(decode, s)):
            return self.end(s, REJECTED, "prompt and output do not fit the KV of a replica")
        if group.pool.queue_limit is not None and len(r.waiting) >= group.pool.queue_limit:
            return self.end(s, REJECTED, "queue full")
        s.where = r
        s.away = self.latency[s.region][group.pool.region]
        s.front = group.pool.front[0] + group.pool.front[1] * s.input
        r.load += 1
        if s.away > 0:
            s.place = "moving"
            self.timer(self.now + s.away, "delivery", s)
        else:
            s.place = "waiting"
            r.waiting.append(s)

    def again(self, lost):
        for s in lost:
            s.retries += 1
            if s.expired:
                self.end(s, TIMED_OUT, "deadline passed")
            elif s.retries > self.most_retries:
                self.end(s, TIMED_OUT, "failures used up its retries")
            else:
                s.start_over()
                self.send(s)

    def boundary(self, r):
        gone, handed = r.stop(self.now)
        for s in gone:
            r.load -= 1
            self.end(s, COMPLETED)
        r.load -= len(handed)
        for s in r.sweep():
            r.load -= 1
            self.end(s, TIMED_OUT, "deadline passed")
        for s in handed:
            if s.expired:
                self.end(s, TIMED_OUT, "deadline passed")
                continue
            s.ready = True
            target = r.group.next.choose(s, self.routing, self.guard)
            if target is None:
                self.end(s, REJECTED, "no replica is on")
                continue
            s.place, s.where = "moving", target
            target.load += 1
            pool = r.group.pool
            self.timer(self.now + (pool.transfer[0] + pool.transfer[1] * s.length), "delivery", s)
        self.settle_drained(r)

    def scale(self, group):
        s = group.scaling
        wanted = min(max(math.ceil(group.load() / s.target), s.least), s.most)

        def count():
            return sum(r.condition in (ON, STARTING) for r in group.replicas)

        for before, after in ((DRAINING, ON), (OFF, STARTING)):
            for r in group.replicas:
                if count() < wanted and r.condition == before:
                    r.condition = after
                    if after == STARTING:
                        self.timer(self.now + s.start_up, "started", r, r.era)
        for before in (STARTING, ON):
            for r in reversed(group.replicas):
                if count() > wanted and r.condition == before:
                    r.era += before == STARTING
                    r.condition = OFF if before == STARTING or r.load == 0 else DRAINING
        self.timer(self.now + s.interval, "tick", group)

    def due(self, kind, what):
        if kind == "delivery":
            (s,) = what
            if s.place == "moving":
                if s.where.condition in (ON, DRAINING):
                    s.place = "waiting"
                    s.where.waiting.append(s)
                else:
                    s.where.load -= 1
                    self.again([s])
        elif kind == "timeout":
            (s,) = what
            if s.place in ("waiting", "moving"):
                if s.place == "waiting":
                    s.where.waiting.remove(s)
                self.end(s, TIMED_OUT, "deadline passed")
                self.leave(s)
            elif s.place == "running":
                s.expired = True
        elif kind == "tick":
            self.scale(what[0])
        elif kind == "started":
            if what[0].condition == STARTING and what[0].era == what[1]:
                what[0].condition = ON
        elif kind == "outage":
            r, duration = what
            if r.condition in (ON, DRAINING):
                lost = r.lose()
                r.load -= len(lost)
                r.condition = DOWN
                r.era += 1
                self.timer(self.now + duration, "repair", r)
                self.again(lost)
        elif kind == "repair":
            what[0].condition = ON

    def run(self):
        for g in self.groups:
            if g.scaling:
                self.timer(g.scaling.interval, "tick", g)
        for o in self.outages:
            self.timer(o.time, "outage", self.replicas[o.replica], o.duration)
        coming = 0
        while any(s.status == 0 for s in self.sequences):
            times = [r.end for r in self.replicas] + [self.timers[0][0] if self.timers else INF]
            if coming < len(self.sequences):
                times.append(self.sequences[coming].arrival)
            self.now = min(times)
            for r in self.replicas:
                if r.end <= self.now:
                    self.boundary(r)
            while self.timers and self.timers[0][0] <= self.now:
                _, _, kind, what = heapq.heappop(self.timers)
                self.due(kind, what)
            while coming < len(self.sequences) and self.sequences[coming].arrival <= self.now:
                s = self.sequences[coming]
                coming += 1
                s.ticket, s.length = coming, s.input
                if s.timeout < INF:
                    self.timer(s.arrival + s.timeout, "timeout", s)
                self.send(s)
            for r in self.replicas:
                if r.end == INF:
                    r.start(self.now)
        return self.sequences
