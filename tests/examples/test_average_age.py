"""The example runs, and its numbers are those of plain Python."""

import importlib.util
from pathlib import Path
from statistics import mean

EXAMPLE = Path(__file__).parents[2] / "examples" / "average_age.py"


def test_the_average_age_of_two_hospitals(capsys):
    spec = importlib.util.spec_from_file_location("average_age", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    private, exact = module.main()
    expected = mean([40 + n % 41 for n in range(300)] + [55 + n % 31 for n in range(500)])
    assert abs(exact["age_mean"] - expected) <= exact.errors["age_mean"]
    assert abs(private["age_mean"] - expected) <= 3 * private.errors["age_mean"]  # ± at 95 %: 3 times is 6e-9
    assert exact.disclosed
    assert not private.disclosed
    assert len(exact.receipts) == 6
    out = capsys.readouterr().out
    assert "NOT PRIVATE" in out
    assert "helped by east" in out
