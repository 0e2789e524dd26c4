"""The guide to secure computation runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "secure-computation.md"


def test_the_guide_runs(capsys):
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    notebook = {}
    for snippet in snippets:
        exec(compile(snippet, PAGE.name, "exec"), notebook)
    shown = capsys.readouterr().out
    assert "SecretArray(shape=(4,), dtype=float64, values=<redacted>)" in shown
    assert "the truth of a SecretArray would need its values" in shown
    assert "7.75" in shown
    assert "convolution" in shown
    found, image, model = notebook["opened"], notebook["image"], notebook["model"]
    np.testing.assert_allclose(found, model(image[None])[0].detach().numpy(), atol=2e-3)
    assert np.mean(notebook["scores"].argmax(axis=1) == notebook["y"]) > 0.95
