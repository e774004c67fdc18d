"""Continuous batching token by token, in plain Python: the simulator must give the same times.

Every step is made on its own. No heaps, no sums kept up: what a step needs is counted anew from sequences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

INF = float("inf")


@dataclass
class Sequence:
    id: int
    arrival: float
    input: int
    output: int
    priority: int = 0
    timeout: float = INF
    ticket: int = 0
    length: int = 0
    done: int = 0
    generated: float = 0.0
    before: int = 0
    left: int = 0
    decoding: bool = False
    ready: bool = False
    joined: float = -INF
    first: float = math.nan
    finish: float = math.nan
    rejected: bool = False
    timed_out: bool = False

    def context(self):
        return self.length + 1 + self.generated


@dataclass
class Replica:
    engine: object
    waiting: list = field(default_factory=list)
    running: list = field(default_factory=list)  # in order of admission
    chunks: list = field(default_factory=list)
    decodes: bool = False
    end: float = INF
    assigned: int = 0
    looked: int = 0  # decode steps since it looked at its queue
    look: float = -INF
    patience: int = 0  # decode steps that prompts have been held
    held_back: bool = False
    tells_first: bool = False

    def peak(self, s):
        if self.engine.role == "prefill":
            return s.length + 1
        a = self.engine.cost.tokens_per_step
        return s.input + s.output + (a if a > 1 else 0)

    def held(self):
        if self.engine.reserve:
            return sum(self.peak(s) for s in self.running)
        return sum(s.context() if s.decoding else s.length + 1 for s in self.running)

    def decoding(self):
        return [s for s in self.running if s.decoding]

    def growth(self):
        return 0 if self.engine.reserve else self.engine.cost.tokens_per_step

    def preempt(self):
        """Put the last admitted back until the next decode step fits; whether any was."""
        stopped = False
        while self.held() + len(self.decoding()) * self.growth() > self.engine.kv_tokens:
            s = self.running.pop()
            if s.decoding:
                s.before += math.floor(s.generated)
            s.length, s.done, s.generated = s.input + s.before, 0, 0.0
            s.decoding = s.ready = False
            self.waiting.append(s)
            stopped = True
        return stopped

    def start(self, now):
        """Choose the next step."""
        e, cost = self.engine, self.engine.cost
        for s in [s for s in self.waiting if s.arrival + s.timeout < now]:
            s.timed_out, s.finish = True, s.arrival + s.timeout
            self.waiting.remove(s)
        self.chunks, self.decodes = [], True
        stopped = e.chunked and self.preempt()
        budget = e.max_tokens - (len(self.decoding()) if e.chunked else 0)
        for s in self.running:
            if not s.decoding:
                self.chunks.append((s, min(budget, s.length - s.done)))
                budget -= self.chunks[-1][1]
        self.waiting.sort(key=lambda s: (s.priority, s.ticket))
        if not self.running or self.looked >= e.poll:
            self.looked, self.look = 0, now
        self.patience *= bool(self.waiting)
        short = sum(s.length for s in self.waiting) < e.hold_tokens and self.patience < e.hold
        self.held_back = bool(self.running and self.waiting and short)
        may = not stopped and not self.held_back
        while self.waiting and budget > 0 and len(self.running) < e.max_sequences and may:
            s = self.waiting[0]
            if s.joined > self.look:
                break
            need = self.peak(s) if e.reserve else s.length + 1
            decoders = len(self.decoding()) + s.ready
            if self.held() + decoders * self.growth() + need > e.kv_tokens:
                break
            if not e.chunked and not s.ready and s.length > budget:
                break
            self.running.append(self.waiting.pop(0))
            if s.ready:
                if self.tells_first:
                    s.first = now
                self.decode_from_now(s)
                budget -= e.chunked
                continue
            self.chunks.append((s, min(budget, s.length)))
            budget -= self.chunks[-1][1]
        tokens = sum(c for _, c in self.chunks)
        attention = cost.chunk_kv * sum(c * (s.done + c / 2) for s, c in self.chunks)
        if tokens and not e.chunked:
            self.decodes = False
            self.end = now + cost.mixed[tokens] + attention
            return
        if not tokens and not e.chunked:
            self.preempt()
        decoding = self.decoding()
        read = cost.kv * sum(s.context() for s in decoding)
        if tokens:
            beside = cost.beside * len(decoding) + cost.joined * bool(decoding)
            self.end = now + cost.mixed[len(decoding) + tokens] + beside + read + attention
        elif decoding:
            self.end = now + cost.decode[len(decoding)] + read
        else:
            self.end = INF

    def decode_from_now(self, s):
        s.decoding, s.generated = True, 0.0
        s.left = math.ceil((s.output - s.before) / self.engine.cost.tokens_per_step)

    def stop(self, now):
        """Apply the step; returns sequences completed and those whose prompt alone was to be done."""
        gone, handed = [], []
        self.patience = 0 if self.chunks else self.patience + self.held_back
        self.looked = self.engine.poll if self.chunks else self.looked + 1
        if self.decodes:
            for s in self.decoding():
                s.generated += self.engine.cost.tokens_per_step
                s.left -= 1
                if s.left == 0:
                    gone.append(s)
        for s, c in self.chunks:
            s.done += c
            if s.done < s.length:
                continue
            s.before += 1
            if math.isnan(s.first):
                s.first = now
            if s.before >= s.output:
                gone.append(s)
            elif self.engine.role == "prefill":
                handed.append(s)
            else:
                self.decode_from_now(s)
        self.running = [s for s in self.running if s not in gone and s not in handed]
        for s in gone:
            s.finish = now
        self.assigned -= len(gone) + len(handed)
        for s in [s for s in self.running if s.arrival + s.timeout < now]:
            s.timed_out, s.finish = True, now
            self.running.remove(s)
        self.end = INF
        return gone, handed


def never_fits(e, s):
    most = s.input + s.output + (e.cost.tokens_per_step if e.cost.tokens_per_step > 1 else 0)
    if e.role == "prefill":
        most = s.input + 1
    if most > e.kv_tokens:
        return True
    alone = s.input if e.reserve or e.role == "prefill" else s.input + s.output - 1
    return not e.chunked and alone > e.max_tokens


def simulate(
    requests, engines, decoders=(), transfer=(0.0, 0.0), routing="round_robin", users=0, tells_first=False
):
    """Run (arrival, input, output, priority) requests; returns their sequences in order."""
    sequences = [Sequence(i, *r) for i, r in enumerate(requests)]
    first = [Replica(e) for e in engines]
    second = [Replica(e, tells_first=tells_first) for e in decoders]
    turn = {id(first): 0, id(second): 0}
    moving, now, next_, credit = [], 0.0, 0, users

    def choose(replicas):
        if routing == "least_loaded":
            return min(replicas, key=lambda r: r.assigned)
        turn[id(replicas)] += 1
        return replicas[(turn[id(replicas)] - 1) % len(replicas)]

    while True:
        times = [r.end for r in first + second] + [m[0] for m in moving]
        if next_ < len(sequences):
            times.append(now if users and credit else INF if users else sequences[next_].arrival)
        now = min(times, default=INF)
        if now == INF:
            return sequences
        for r in first + second:
            if r.end <= now:
                gone, handed = r.stop(now)
                credit += len(gone)
                for s in handed:
                    target = choose(second)
                    target.assigned += 1
                    s.ready = True
                    moving.append((now + (transfer[0] + transfer[1] * s.length), s, target))
        for m in sorted((m for m in moving if m[0] <= now), key=lambda m: m[0]):
            m[2].waiting.append(m[1])
            m[1].joined = now
            moving.remove(m)
        while next_ < len(sequences) and (credit > 0 if users else sequences[next_].arrival <= now):
            s = sequences[next_]
            s.length = s.input
            if users:
                s.arrival, credit = now, credit - 1
            next_ += 1
            s.ticket = next_
            target = choose(first)
            if never_fits(target.engine, s) or (decoders and s.output > 1 and never_fits(decoders[0], s)):
                s.rejected = True
                credit += 1
                continue
            target.assigned += 1
            target.waiting.append(s)
            s.joined = now
        for r in first + second:
            if r.end == INF:
                r.start(now)
