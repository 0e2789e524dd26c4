"""Programs and Trainings in words and steps, as the owner who is to approve them reads them."""

from __future__ import annotations

from stead.core.schema import Schema
from stead.plans.check import check_program, constant_types
from stead.plans.cost import value_types
from stead.plans.ops import operation
from stead.plans.program import Attribute, Program, Step, TensorType
from stead.plans.training import Encoding, Feature, LocalSteps, Privacy, Training
from stead.plans.training_check import check_training_fits, largest_sum

_HOW = {"onehot": "one 0/1 for each category", "flag": "0 or 1", "missing": "1 where it is missing"}


def describe_program(program: Program) -> str:
    """A Program as a numbered list of steps, with what it takes, gives and costs on one example.

    Raises:
        SteadError: the Program does not pass ``plans.check``.
    """
    price = check_program(program)
    constants = constant_types(program)
    types = value_types(program, constants)
    lines = [
        (
            f"A program of {_count(len(program.steps), 'step')}; one example takes {price.flops:,} operations on "
            f"numbers and at most {_size(price.peak_bytes)} of memory."
        )
    ]
    lines += [f"  takes  %{at} {item.name}: {item.type}, {item.role}" for at, item in enumerate(program.inputs)]
    first = len(program.inputs)
    lines += [f"  holds  %{first + at}: {kind}" for at, kind in enumerate(constants)]
    number = first + len(constants)
    for step in program.steps:
        lines.append(_step(step, number))
        number += len(step.outputs)
    named = zip(program.output_names, program.outputs, strict=True)
    lines += [f"  gives  {name} = %{value}: {types[value]}" for name, value in named]
    used = sorted({step.op for step in program.steps})
    lines += ["Operations:", *(f"  {name}: {operation(name).meaning}" for name in used)]
    return "\n".join(lines)


def _step(step: Step, number: int) -> str:
    given = [f"%{value}" for value in step.inputs]
    given += [f"{name}={_attribute(value)}" for name, value in sorted(step.attributes.items())]
    made = ", ".join(f"%{number + at}" for at in range(len(step.outputs)))
    kinds: tuple[TensorType, ...] = step.outputs
    return f"  {made} = {step.op}({', '.join(given)}): {', '.join(map(str, kinds))}"


def _attribute(value: Attribute) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def describe_training(training: Training, schema: Schema) -> str:
    """A Training in sentences: which columns go in, what leaves each round, how it is bounded and hidden.

    Raises:
        SteadError: the Training does not pass ``plans.training_check``.
    """
    program = check_training_fits(training, schema)
    weights = sum(item.type.elements for item in program.of_role("parameter"))
    task, target = training.encoding.task, _quoted(training.encoding.target)
    lines = [
        (
            f"A {task} of {target} from {_quoted(training.dataset)}, about each {schema.unit} of "
            f"{_quoted(schema.population)}: a model of {_count(weights, 'number')}, "
            f"up to {_count(training.rounds, 'round')}."
        )
    ]
    lines += [f"  reads {text}" for text in _encoding(training.encoding)]
    lines.append(f"  {_sampled(training.sampler.rate, schema.unit)}")
    if training.privacy is not None:
        lines += [f"  {text}" for text in _privacy(training.privacy, schema)]
    if training.local is not None:
        lines += [f"  {text}" for text in _local(training.local, schema.unit)]
    lines.append(
        f"  each round sends {_size(weights * training.ring_bits // 8)}, masked, as {training.ring_bits}-bit integers"
    )
    return "\n".join([*lines, "The gradient of one example:", describe_program(program)])


def _encoding(encoding: Encoding) -> list[str]:
    return [f"{_quoted(feature.column)}: {_feature(feature)}" for feature in encoding.features]


def _feature(feature: Feature) -> str:
    if feature.how == "scaled":
        return f"a number, {feature.low:g} to {feature.high:g} as -1 to 1"
    return _HOW[feature.how]


def _sampled(rate: float, unit: str) -> str:
    return (
        f"every {unit} takes part in each round"
        if rate == 1.0
        else (f"each {unit} takes part in a round with probability {rate:g}")
    )


def _privacy(privacy: Privacy, schema: Schema) -> list[str]:
    honest = privacy.sites - privacy.colluders
    return [
        f"one {schema.unit} moves a round's sum by at most {privacy.clip:g} (L2 norm), in steps of {privacy.lattice:g}",
        (
            f"noise of standard deviation {privacy.sigma * privacy.clip:g} hides it: {_count(privacy.sites, 'site')}, "
            f"each adds a share, {honest} of which suffice"
        ),
        (
            f"the noisy sum of at most {largest_sum(privacy, schema.people[1]):,} steps leaves, "
            f"{_count(privacy.steps, 'time')} at most, and is priced"
        ),
    ]


def _local(local: LocalSteps, unit: str) -> list[str]:
    return [
        (
            f"NOT PRIVATE: each round's model of this site, after {_count(local.epochs, 'pass', 'passes')} over the "
            f"rows in batches of {local.batch}, enters an average that leaves without noise"
        ),
        f"what the average tells about one {unit} is not bounded",
    ]


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _quoted(text: str) -> str:
    """Text from a plan, with nothing in it that a terminal would act on."""
    return '"' + "".join(c if c.isprintable() and c != '"' else f"\\u{ord(c):04x}" for c in text[:128]) + '"'
