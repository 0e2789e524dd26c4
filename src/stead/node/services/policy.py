"""The owner's rules, as data: what may leave, on whose word, and within which limits.

A decision is made from a plan's public facts and its price. It never sees a row, a result or the caller's history;
budgets are the ledger's.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, final

import msgspec
import sqlalchemy as sa

from stead.core import codec
from stead.core.leaves import Outlet, PolicySet
from stead.errors import UsageError
from stead.node.services.log import Log
from stead.node.services.payers import Limits, Period
from stead.node.store import Store, tables
from stead.node.toml import read_toml
from stead.privacy.accounts import DEFAULT_ORDERS, Target, least_price
from stead.privacy.reserve import Reserved, usual

Word = Literal["allow", "ask", "deny"]
PlanKind = Literal["query", "training", "program", "joint"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """For releases that fit its conditions, a word with a reason. The first rule that fits decides.

    Attributes:
        outlet: the way out that the rule is about.
        decision: ``allow``, ``ask`` (a person decides) or ``deny``.
        reason: shown to whoever asks, and written to the log.
        dataset: a dataset's name, or ``*``.
        project: a project's name, or ``*``.
        plan: a kind of plan, or ``*``.
        epsilon: the rule is for plans that cost at most so much by themselves, at the population's delta.
        sites: the rule is for sessions of at least so many sites. A disclosure is possible of one site alone, where
            there is nobody to hide among; a rule for sums of several says so here.
        approvers: who may say yes when asked; for ``disclose`` also who stands for a standing ``allow``.
    """

    outlet: Outlet
    decision: Word
    reason: str
    dataset: str = "*"
    project: str = "*"
    plan: Literal["*", "query", "training", "program", "joint"] = "*"
    epsilon: float | None = None
    approvers: tuple[str, ...] = ()
    sites: Annotated[int, msgspec.Meta(ge=1)] = 1

    def __post_init__(self) -> None:
        if not self.reason:
            raise UsageError("each rule of a policy gives its reason.")
        if self.outlet == "disclose" and self.decision != "deny" and not self.approvers:
            raise UsageError("a rule that lets anything be disclosed names its approvers.", hint='approvers = ["…"]')
        if self.epsilon is not None and (not self.epsilon > 0 or self.outlet == "disclose"):
            raise UsageError("a rule's epsilon is a positive number, and a disclosure has none.")

    def fits(self, facts: Facts) -> bool:
        """Whether the rule is about this release."""
        return (
            self.outlet == facts.outlet
            and self.dataset in ("*", facts.dataset)
            and self.project in ("*", facts.project)
            and self.plan in ("*", facts.plan)
            and (self.epsilon is None or facts.epsilon <= self.epsilon)
            and self.sites <= facts.sites
        )

    def in_words(self) -> str:
        """The rule as a sentence."""
        whose = "" if self.project == "*" else f' of project "{self.project}"'
        what = {"*": "any plan", "joint": "a computation on shares"}.get(self.plan, f"a {self.plan}")
        data = "any dataset" if self.dataset == "*" else f'dataset "{self.dataset}"'
        limit = "" if self.epsilon is None else f" that costs epsilon {self.epsilon:g} or less"
        company = f", of {self.sites} sites or more," if self.sites > 1 else ""
        if self.outlet == "disclose" and self.decision != "deny" and self.sites == 1:
            company = ", of this site alone too,"
        word = {"allow": "is allowed", "ask": "waits for a person", "deny": "is denied"}[self.decision]
        who = f" ({', '.join(self.approvers)})" if self.approvers else ""
        return f"{self.outlet}: {what}{whose} on {data}{limit}{company} {word}{who}: {self.reason}"


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The promise of a new account.

    ``reserve`` is the part of delta for events with slack, which show keys that nobody listed: a tenth of it where
    nothing is said, none where it is 0.
    """

    epsilon: float
    delta: float = 1e-6
    orders: tuple[int, ...] = DEFAULT_ORDERS
    reserve: float | msgspec.UnsetType = msgspec.UNSET  # unset fields are not encoded: older policies keep their hash

    @property
    def target(self) -> Target:
        """Epsilon at delta, in all."""
        return Target(epsilon=self.epsilon, delta=self.delta, orders=self.orders)

    @property
    def promise(self) -> Reserved:
        """As the ledger wants it."""
        return usual(self.target) if self.reserve is msgspec.UNSET else Reserved(self.target, self.reserve)


class PeriodBudget(Budget, frozen=True, forbid_unknown_fields=True):
    """What everybody together may spend in each window of ``days`` days, counted from 1970-01-01."""

    days: Annotated[int, msgspec.Meta(ge=1, le=36_525)] = 30


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Targets of accounts that are charged for the first time; the owner can move each account later."""

    population: Budget = Budget(epsilon=4.0)
    project: Budget = Budget(epsilon=2.0)
    scientist: Budget = Budget(epsilon=1.0)
    period: PeriodBudget | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        _ = self.limits  # a target that cannot be is refused when the policy is written, not when somebody asks

    @property
    def limits(self) -> Limits:
        """As the ledger wants them."""
        period = None if self.period is msgspec.UNSET else Period(self.period.promise, self.period.days)
        return Limits(self.population.promise, self.project.promise, self.scientist.promise, period)


class Ceilings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one plan may cost the machine."""

    flops: Count = 10**15
    size_bytes: Count = 16 * 2**30
    rounds: Count = 10_000


class Joining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With whom this node computes together: how many sites at least, and how many of them may collude."""

    least_sites: Annotated[int, msgspec.Meta(ge=2)] = 3
    least_colluders: Count = 1


class PolicyRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy. Without a rule that fits, the word is ``deny``."""

    rules: tuple[Rule, ...]
    budgets: Budgets = Budgets()
    ceilings: Ceilings = Ceilings()
    joining: Joining = Joining()

    def __post_init__(self) -> None:
        target = self.budgets.population.promise.divergences
        least = least_price(target)
        for rule in self.rules:
            if rule.epsilon is not None and rule.epsilon < least:
                raise UsageError(
                    f"the rule for plans of epsilon {rule.epsilon:g} or less can fit none: at delta {target.delta:g} "
                    f"and orders {', '.join(map(str, target.orders))} a plan by itself costs {least:.3f} at least.",
                    hint=f"epsilon = {math.ceil(least * 20) / 20:g}, or larger orders for the population's budget",
                )


DEFAULT_RULES = PolicyRules(
    rules=(
        Rule(outlet="answer", decision="allow", epsilon=0.3, reason="small questions need nobody's time"),
        Rule(outlet="answer", decision="ask", reason="above epsilon 0.3 a person decides"),
        Rule(outlet="join", decision="ask", reason="a person decides with whom this node computes"),
        Rule(outlet="disclose", decision="deny", reason="nothing leaves here without differential privacy"),
    )
)


class Facts(msgspec.Struct, frozen=True):
    """What a decision may depend on: public facts of a plan, and its price by itself.

    ``epsilon`` is infinite for a disclosure. ``sites`` and ``colluders`` are 1 and 0 for an answer; of a
    joint computation they are of the owners, who enter something. ``helping``: this node enters nothing.
    """

    outlet: Outlet
    dataset: str
    project: str
    plan: PlanKind
    epsilon: float
    flops: int
    size_bytes: int
    rounds: int
    sites: int = 1
    colluders: int = 0
    helping: bool = False


class Decision(msgspec.Struct, frozen=True):
    """The policy's word, with its reason and who may say yes. ``expensive``: denied for the machine's sake."""

    decision: Word
    reason: str
    approvers: tuple[str, ...] = ()
    expensive: bool = False


@final
class Policy:
    """The rules, applied."""

    def __init__(self, rules: PolicyRules) -> None:
        self.rules = rules

    def decide(self, facts: Facts) -> Decision:
        """The word on one release."""
        for check in (self._too_expensive, self._bad_company):
            denied = check(facts)
            if denied is not None:
                return denied
        for rule in self.rules.rules:
            if rule.fits(facts):
                return Decision(rule.decision, rule.reason, rule.approvers)
        return Decision("deny", "no rule of the owner's policy allows this")

    def rules_in_words(self) -> tuple[str, ...]:
        """The policy as a reader wants it, in the order in which it is applied."""
        ceilings, joining, budgets = self.rules.ceilings, self.rules.joining, self.rules.budgets
        return (
            *(rule.in_words() for rule in self.rules.rules),
            "whatever no rule names is denied",
            f"a plan has at most {ceilings.flops:g} operations, {ceilings.size_bytes} bytes, {ceilings.rounds} rounds",
            f"joint computations need {joining.least_sites} sites, and noise for {joining.least_colluders} colluders",
            *(
                f"a new {kind} may spend epsilon {budget.epsilon:g} at delta {budget.delta:g}"
                for kind, budget in (
                    ("population", budgets.population),
                    ("project", budgets.project),
                    ("scientist", budgets.scientist),
                )
            ),
            *_period_in_words(budgets),
        )

    def _too_expensive(self, facts: Facts) -> Decision | None:
        for name, unit in (("flops", "operations"), ("size_bytes", "bytes"), ("rounds", "rounds")):
            used, most = getattr(facts, name), getattr(self.rules.ceilings, name)
            if used > most:
                return Decision("deny", f"the plan needs {used:,} {unit}; the limit is {most:,}", expensive=True)
        return None

    def _bad_company(self, facts: Facts) -> Decision | None:
        if facts.outlet == "answer" or facts.helping:
            return None
        joining = self.rules.joining
        # A disclosure of one site alone is asked for as one: there is nobody to hide among, and it is marked so.
        if facts.sites < joining.least_sites and not (facts.outlet == "disclose" and facts.sites == 1):
            return Decision("deny", f"{facts.sites} sites take part; this node wants at least {joining.least_sites}")
        if facts.outlet == "join" and facts.colluders < joining.least_colluders:
            least = joining.least_colluders
            return Decision(
                "deny", f"the noise counts on {facts.colluders} colluders; this node wants at least {least}"
            )
        return None


@final
class Policies:
    """The policy in force, and those before it."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log

    def set(self, rules: PolicyRules) -> None:
        """Put these rules in force from now on; releases that are charged already are finished under the old ones."""
        body = codec.encode(rules)
        hashed = codec.digest("stead.policy", body)
        now = self._log.now()
        with self._store.write() as write:
            write.connection.execute(tables.policies.insert().values(body=body, hash=hashed, set_at=now))
            self._log.append(write, PolicySet(at=now, policy_hash=hashed))

    def current(self) -> Policy:
        """The policy in force; ``DEFAULT_RULES`` until the owner has set one."""
        columns = tables.policies.c
        with self._store.read() as connection:
            body = connection.execute(sa.select(columns.body).order_by(columns.id.desc()).limit(1)).scalar()
        return Policy(DEFAULT_RULES if body is None else codec.decode(bytes(body), PolicyRules))


def read_rules(text: str, *, what: str = "the policy") -> PolicyRules:
    """A policy from its TOML text.

    Raises:
        UsageError: not TOML, or not a policy; names the place.
    """
    return read_toml(text, PolicyRules, what)


def rules_text(rules: PolicyRules) -> str:
    """A policy as TOML that ``read_rules`` takes back: all budgets and limits, and of a rule what it says."""
    lines = ["# The first rule that fits decides; whatever no rule names is denied."]
    if not rules.rules:
        lines.append("rules = []")
    for rule in rules.rules:
        lines += ["", "[[rules]]", *_toml_lines(rule)]
    for kind in ("population", "project", "scientist", "period"):
        budget = getattr(rules.budgets, kind)
        if budget is not msgspec.UNSET:
            lines += ["", f"[budgets.{kind}]", *_toml_lines(budget)]
    for part in ("ceilings", "joining"):
        lines += ["", f"[{part}]", *_toml_lines(getattr(rules, part))]
    return "\n".join(lines) + "\n"


def _period_in_words(budgets: Budgets) -> tuple[str, ...]:
    if budgets.period is msgspec.UNSET:
        return ()
    period = budgets.period
    limit = f"epsilon {period.epsilon:g} at delta {period.delta:g}"
    return (f"everybody together may spend {limit} in each period of {period.days} days",)


def _toml_lines(struct: msgspec.Struct) -> list[str]:
    """One line for each key. JSON's texts, numbers and lists are TOML's too; DEL alone may stand bare in JSON only."""
    values = {key: msgspec.json.encode(value).decode() for key, value in msgspec.to_builtins(struct).items()}
    return [f"{key} = {value}".replace("\x7f", "\\u007f") for key, value in values.items()]
