# make lab    opens the first notebook; make test runs everything that must hold.
# Both install what they need into .venv first, once.

PYTHON ?= python3
# torch's own index has the small CPU build; "make lab TORCH_INDEX=" takes pip's usual one (CUDA).
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
NOTEBOOKS := $(sort $(wildcard labs/*.ipynb))
BIN := .venv/bin
# Tests and committed outputs use the bundled sample, whatever this machine has prepared.
SAMPLE_ONLY := LAB_OFFLINE=1 LAB_DATA_DIR=$(abspath build/no-data) EMNIST_ARCHIVE= MNIST_DIR= NLTK_DATA=

.PHONY: lab test test-real lint notebooks weights bench wheel clean

lab: .venv/.installed
	$(BIN)/jupyter lab --notebook-dir=. $(firstword $(NOTEBOOKS))

test: .venv/.installed lint
	$(SAMPLE_ONLY) $(BIN)/pytest -n 2 --ignore=tests/browser tests
	$(BIN)/pytest -rs tests/browser
	$(SAMPLE_ONLY) LAB_FAST=1 OMP_NUM_THREADS=1 \
		$(BIN)/pytest -n 2 --dist loadfile -p no:warnings --nbval --nbval-cell-timeout=300 $(NOTEBOOKS)

# The measurements and the notebooks on real data, as the README says what lies in the folder.
REAL_DATA ?= ../shared
test-real: export EMNIST_ARCHIVE = $(abspath $(REAL_DATA))/emnist/gzip.zip
test-real: export MNIST_DIR = $(abspath $(REAL_DATA))/mnist
test-real: export NLTK_DATA = $(abspath $(REAL_DATA))/nltk_data
test-real: export PHOTOS = $(abspath $(REAL_DATA))/handwriting/photos.zip
test-real: export LAB_DATA_DIR = $(abspath build/real-data)
test-real: .venv/.installed
	$(BIN)/pytest -s tests/real
	printf '%s\n' $(NOTEBOOKS) | LAB_FAST=1 OMP_NUM_THREADS=1 \
		xargs -n 1 -P 2 $(BIN)/python labs/execute.py --to build/real-notebooks

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Makes the students' notebooks of the instructor's, runs all from a fresh kernel, keeps the outputs.
notebooks: .venv/.installed
	for reference in $(wildcard labs/instructor/*.ipynb); do \
		$(BIN)/lab-release $$reference -o labs/$$(basename $$reference) || exit 1; done
	$(SAMPLE_ONLY) $(BIN)/python labs/execute.py $(NOTEBOOKS)

bench: .venv/.installed
	$(BIN)/python benchmarks/data_loading.py
	$(BIN)/python benchmarks/lightning_overhead.py
	$(BIN)/python benchmarks/preparation.py
	$(BIN)/python benchmarks/line_drawing.py
	$(BIN)/python benchmarks/resnet.py
	$(BIN)/python benchmarks/canvas_latency.py
	$(BIN)/python benchmarks/grading.py

# Trains the networks that ship; EMNIST_ARCHIVE and NLTK_DATA or downloads bring the data.
weights: .venv/.installed
	$(BIN)/python data/train_weights.py
	$(BIN)/python data/train_line_weights.py

wheel: .venv/.installed
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv build dist

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit( \
		"The lab needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is " + sys.version.split()[0] + \
		": name another one with  make lab PYTHON=python3.12")'
	@echo "Installing the lab into .venv: once, a few minutes, 1.5 GB of disk."
	$(PYTHON) -m venv --clear .venv
ifneq ($(TORCH_INDEX),)
	-$(BIN)/python -m pip install --quiet --retries 1 --no-deps -c constraints.txt \
		--index-url $(TORCH_INDEX) torch
endif
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[notebook,test]"
	@touch $@
