"""CPUs of agents: tools and sandboxes between calls of a model, by Little's law (agent_facts.toml)."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from armillary.errors import InputError
from armillary.serving.facts import facts


class AgentWork(NamedTuple):
    """What one task of an agent takes.

    model_calls, tool_calls : in a task [-]. model_time, tool_time : of a call, on the clock [s].
    tool_cpu : vCPU-seconds of a tool call [s]. idle_time : that its sandbox lives besides [s].
    sandbox_vcpus : promised to a sandbox [-]. sandbox_memory : held by it [byte].
    """

    model_calls: float
    tool_calls: float
    model_time: float
    tool_time: float
    tool_cpu: float
    idle_time: float
    sandbox_vcpus: float
    sandbox_memory: float

    @property
    def busy_time(self) -> float:
        """From the first call to the end of the last [s]."""
        return self.model_calls * self.model_time + self.tool_calls * self.tool_time

    @property
    def lifetime(self) -> float:
        """Of its sandbox [s]."""
        return self.busy_time + self.idle_time

    @property
    def tool_share(self) -> float:
        """Of the time from the first call to the end of the last [-]."""
        return self.tool_calls * self.tool_time / self.busy_time


class Margins(NamedTuple):
    """How far one builds beyond the mean.

    peak_over_mean : of tasks [-]. utilisation : of vCPUs at the peak [-].
    oversubscription : vCPUs promised over those that exist [-].
    """

    peak_over_mean: float
    utilisation: float
    oversubscription: float


class AgentFleet(NamedTuple):
    """What tasks at a rate need, at the peak.

    sandboxes : that live at once [-]. model_calls : rate of calls of the model [1/s]. model_calls_in_flight,
    tool_calls_in_flight : at once [-].
    working_vcpus : for tools that run, at the utilisation [-]. promised_vcpus : for all sandboxes, at the
    oversubscription [-]. memory : of all sandboxes [byte].
    """

    sandboxes: float
    model_calls: float
    model_calls_in_flight: float
    tool_calls_in_flight: float
    working_vcpus: float
    promised_vcpus: float
    memory: float

    @property
    def vcpus(self) -> float:
        """The more of working and promised [-]."""
        return max(self.working_vcpus, self.promised_vcpus)


class Hosts(NamedTuple):
    """Whole hosts of an instance. for_vcpus, for_memory : what each would take alone [-]."""

    for_vcpus: int
    for_memory: int

    @property
    def hosts(self) -> int:
        """That hold both [-]."""
        return max(self)

    @property
    def binding(self) -> str:
        """Which of both takes more: ``vcpus`` or ``memory``."""
        return "vcpus" if self.for_vcpus >= self.for_memory else "memory"


def agent_work(**given: float) -> AgentWork:
    """One task by agent_facts.toml, nearly all of it assumed; `given` replaces fields.

    Examples
    --------
    >>> task = agent_work()
    >>> task.busy_time, task.lifetime, round(task.tool_share, 3)
    (260.0, 560.0, 0.385)
    """
    _known(given, AgentWork._fields)
    rows = facts("agent_facts")
    return _checked_work(AgentWork(**{name: rows[name].value for name in AgentWork._fields} | given))


def margins(**given: float) -> Margins:
    """Margins by agent_facts.toml; `given` replaces fields."""
    _known(given, Margins._fields)
    rows = facts("agent_facts")
    found = Margins(**{name: rows[name].value for name in Margins._fields} | given)
    if not found.peak_over_mean >= 1:
        raise InputError(f"peak_over_mean is {found.peak_over_mean}; expected 1 or more")
    if not 0 < found.utilisation <= 1:
        raise InputError(f"utilisation is {found.utilisation}; expected a share above 0, at most 1")
    if not found.oversubscription > 0:
        raise InputError(f"oversubscription is {found.oversubscription}; expected above 0")
    return found


def agent_fleet(tasks: float, work: AgentWork | None = None, over: Margins | None = None) -> AgentFleet:
    """What tasks at a mean rate need at their peak.

    Parameters
    ----------
    tasks : number
        Mean of a day. [1/s]
    work, over : optional
        By default those of agent_facts.toml.

    Notes
    -----
    Little's law: what is there at once is the rate times the time that it stays.

    Examples
    --------
    >>> fleet = agent_fleet(50e6 / 86400)
    >>> round(fleet.sandboxes), round(fleet.working_vcpus), round(fleet.promised_vcpus)
    (471852, 112346, 235926)
    """
    work, over = _checked_work(work or agent_work()), over or margins()
    if not 0 <= tasks < float("inf"):
        raise InputError(f"tasks is {tasks}; expected a rate of 0 or more tasks a second")
    peak = tasks * over.peak_over_mean
    sandboxes = peak * work.lifetime
    return AgentFleet(
        sandboxes=sandboxes,
        model_calls=peak * work.model_calls,
        model_calls_in_flight=peak * work.model_calls * work.model_time,
        tool_calls_in_flight=peak * work.tool_calls * work.tool_time,
        working_vcpus=peak * work.tool_calls * work.tool_cpu / over.utilisation,
        promised_vcpus=sandboxes * work.sandbox_vcpus / over.oversubscription,
        memory=sandboxes * work.sandbox_memory,
    )


def tasks_for(vcpus: float, work: AgentWork | None = None, over: Margins | None = None) -> float:
    """Mean rate of tasks that needs so many vCPUs. [1/s]

    Examples
    --------
    >>> round(tasks_for(20e6) * 86400 / 1e9, 2)  # billion tasks a day
    4.24
    """
    if not 0 <= vcpus < float("inf"):
        raise InputError(f"vcpus is {vcpus}; expected a number, 0 or more")
    one = agent_fleet(1.0, work, over).vcpus
    if not one:
        raise InputError("a task takes no vCPUs; expected tool_cpu or sandbox_vcpus above 0")
    return vcpus / one


def hosts(fleet: AgentFleet, vcpus: float, memory: float) -> Hosts:
    """Count hosts for a fleet.

    vcpus, memory : of one host, after what the host keeps for itself [-], [byte].

    Examples
    --------
    >>> found = hosts(agent_fleet(50e6 / 86400), vcpus=192, memory=768 * 2**30)
    >>> found.hosts, found.binding
    (2458, 'memory')
    """
    if not (vcpus > 0 and memory > 0):
        raise InputError(f"a host has {vcpus} vCPUs and {memory} bytes; expected above 0")
    return Hosts(ceil(fleet.vcpus / vcpus), ceil(fleet.memory / memory))


def _known(given: dict[str, float], fields: tuple[str, ...]) -> None:
    for name in given:
        if name not in fields:
            raise InputError(f"unknown field {name!r}; known are {', '.join(fields)}")


def _checked_work(work: AgentWork) -> AgentWork:
    for name, value in work._asdict().items():
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} is {value}; expected a number, 0 or more")
    if not work.busy_time > 0:
        raise InputError("a task without time in calls; expected model_time or tool_time above 0")
    return work
