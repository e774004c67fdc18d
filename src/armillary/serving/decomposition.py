"""What one assistant's demand is made of: chat, reasoning, API and agents, each in messages and tokens."""

from __future__ import annotations

from typing import NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.serving.diurnal import DAY
from armillary.serving.facts import Fact, facts
from armillary.serving.lengths import Tokens

WEEK = 7 * DAY
"""[s]"""


class Stream(NamedTuple):
    """One kind of demand.

    messages_per_day : requests [1/day]. input, output : mean of a request [token].
    cached : share of the input [-]. assumed : names of the facts behind it that are assumptions.
    """

    name: str
    messages_per_day: float
    input: float
    output: float
    cached: float
    assumed: tuple[str, ...]

    @property
    def messages_per_second(self) -> float:
        """Mean of a day [1/s]."""
        return self.messages_per_day / DAY

    @property
    def tokens(self) -> Tokens:
        """Mean of a day [token/s]."""
        rate = self.messages_per_second
        return Tokens(rate * self.input, rate * self.output, rate * self.input * self.cached)


class Decomposition(NamedTuple):
    """Kinds of demand; a total is their sum."""

    chat: Stream
    reasoning: Stream
    api: Stream
    agents: Stream

    @property
    def messages_per_second(self) -> float:
        """Mean of a day [1/s]."""
        return sum(stream.messages_per_second for stream in self)

    @property
    def tokens(self) -> Tokens:
        """Mean of a day [token/s]."""
        return Tokens(*(sum(part) for part in zip(*(stream.tokens for stream in self), strict=True)))


def decomposition(**given: float) -> Decomposition:
    """Take demand apart by demand_facts.toml; a fact that is given instead counts as assumed.

    Calls of the model in a task of an agent are those of agent_facts.toml.

    given : values in the unit of the fact of that name.

    Examples
    --------
    >>> parts = decomposition(reasoning_share=0)
    >>> round(parts.chat.messages_per_second), [round(t / 1e6, 1) for t in parts.chat.tokens[:2]]
    (29762, [34.4, 6.3])
    """
    known = facts("demand_facts") | {"agent_model_calls": facts("agent_facts")["model_calls"]}
    for name, value in given.items():
        if name not in known:
            raise InputError(
                f"unknown fact {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
            )
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} is {value}; expected a number of {known[name].unit}, 0 or more")
    for name in ("api_cached", "reasoning_share", "agent_cached"):
        if given.get(name, 0) > 1:
            raise InputError(f"{name} is {given[name]}; expected a share from 0 to 1")
    rows = known | {
        name: Fact(float(value), known[name].unit, "assumed", "given", "") for name, value in given.items()
    }
    if not rows["api_input_per_output"].value or not rows["api_input"].value:
        raise InputError(
            "api_input_per_output and api_input must be above 0: the API's requests follow from them"
        )
    v = {name: row.value for name, row in rows.items()}

    def stream(name: str, per_day: float, tokens: tuple[float, float, float], *behind: str) -> Stream:
        return Stream(name, per_day, *tokens, tuple(one for one in behind if rows[one].kind == "assumed"))

    chat = v["messages_per_week"] / 7
    plain = (v["chat_input"], v["chat_output"], 0.0)
    reasoned = (v["chat_input"], v["chat_output"] * v["reasoning_output_factor"], 0.0)
    api = (v["api_input"], v["api_input"] / v["api_input_per_output"], v["api_cached"])
    calls = v["agent_tasks_per_day"] * v["agent_model_calls"]
    share = v["reasoning_share"]
    of_chat = ("messages_per_week", "chat_input", "chat_output", "reasoning_share")
    return Decomposition(
        stream("chat", chat * (1 - share), plain, *of_chat),
        stream("reasoning", chat * share, reasoned, *of_chat, "reasoning_output_factor"),
        stream(
            "api",
            v["api_tokens_per_minute"] * (DAY / 60) / (api[0] + api[1]),
            api,
            *("api_tokens_per_minute", "api_input", "api_input_per_output", "api_cached"),
        ),
        stream(
            "agents",
            calls,
            (v["agent_input"], v["agent_output"], v["agent_cached"]),
            *("agent_tasks_per_day", "agent_model_calls", "agent_input", "agent_output", "agent_cached"),
        ),
    )


class Accelerators(NamedTuple):
    """How many the mean of a day keeps busy; the total is their sum. [-]"""

    prefill: float
    decode: float


def busy_accelerators(tokens: Tokens, prefill: float, decode: float) -> Accelerators:
    """Accelerators that work without pause: a least, before latency targets, peaks and spares.

    Parameters
    ----------
    tokens : Tokens
        Of which what is cached costs no prefill. [token/s]
    prefill, decode : number
        Of one accelerator. [token/s]

    Examples
    --------
    >>> [round(n) for n in busy_accelerators(Tokens(34.4e6, 6.28e6, 0), prefill=26e3, decode=13e3)]
    [1323, 483]
    """
    if not (prefill > 0 and decode > 0):
        raise InputError(f"prefill is {prefill} and decode {decode} token/s; expected rates above 0")
    return Accelerators((tokens.input - tokens.cached) / prefill, tokens.output / decode)
