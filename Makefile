# Everything runs in a virtual environment of its own, .venv; plain pip puts it together.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: report test check bench clean

report: .venv/report
	$(BIN)/dynsys report examples/flipflop_gru.pt --trials examples/flipflop_gru_trials.npz --out reports/flipflop_gru

test: .venv/test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

bench: .venv/test
	$(BIN)/python benchmarks/fixed_points.py --seeds 3
	$(BIN)/python benchmarks/certify.py
	$(BIN)/python benchmarks/jacobian.py --repeats 5
	$(BIN)/python benchmarks/lyapunov.py --quick --repeats 2
	$(BIN)/python benchmarks/spmm.py
	$(BIN)/python benchmarks/watch.py --network "GRU 64" --blocks 3

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/report: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[pdf]'
	touch $@

.venv/test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[pdf]' --group dev
	touch $@

clean:
	rm -rf .venv build dist
