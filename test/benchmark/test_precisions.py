# SPDX-License-Identifier: Apache-2.0
"""The table of precisions, for a bundle whose int8 model has a small error."""

import re
import sys

from benchmark import precisions


def test_every_precision_is_timed_and_evaluated(make_bundle, monkeypatch, capsys):
    bundle = make_bundle(int8=1.05)
    monkeypatch.setattr(precisions, "computes_bf16", lambda: False)
    monkeypatch.setattr(sys, "argv", ["precisions.py", str(bundle.path), "--rounds", "5"])
    precisions.main()
    rows = dict(re.findall(r"^(\w+) .*ms +[\d.]+ +([\d.]+)%", capsys.readouterr().out, re.MULTILINE))
    assert float(rows["fp32"]) < 0.01 and 1 < float(rows["int8"]) < 5


def test_a_bundle_without_int8_has_a_reason(tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["precisions.py", str(tiny_bundle.path), "--rounds", "3"])
    precisions.main()
    assert "int8: the bundle contains no int8 model" in capsys.readouterr().out
