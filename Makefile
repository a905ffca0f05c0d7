# make lab    opens the first notebook; make test runs everything that must hold; make help lists all.
# Each installs what it needs into .venv first, once: students need less than developers.

PYTHON ?= python3
# torch's own index has the small CPU build; "make lab TORCH_INDEX=" takes pip's usual one (CUDA).
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
NOTEBOOKS := $(sort $(wildcard labs/*.ipynb))
REFERENCES := $(sort $(wildcard labs/instructor/*.ipynb))
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# In a container students are often root, which JupyterLab refuses unless it is told.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
# Tests and committed outputs use the bundled sample, whatever this machine has prepared.
SAMPLE_ONLY := LAB_OFFLINE=1 LAB_DATA_DIR=$(abspath build/no-data) EMNIST_ARCHIVE= MNIST_DIR= NLTK_DATA=

.PHONY: help lab check test test-browser test-real binder-check colab-check faults coverage \
	notebook notebooks bench sample weights translations pictures links site wheel clean

help: ## lists these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 22

lab: .venv/.installed ## opens the first notebook in JupyterLab
	$(BIN)/jupyter lab $(AS_ROOT) --notebook-dir=. \
		$(firstword $(if $(LAB_LANGUAGE),$(sort $(wildcard labs/$(LAB_LANGUAGE)/*.ipynb))) $(NOTEBOOKS))

check: .venv/.complete ## style, types and the quick tests, in less than a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SAMPLE_ONLY) OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow" --ignore=tests/browser tests

# More workers than cores: those with a browser mostly wait. mypy, on one core, runs beside them.
test: .venv/.complete ## everything that must hold: tests, browser, notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; \
	$(SAMPLE_ONLY) LAB_FAST=1 OMP_NUM_THREADS=1 \
		PYTHONPATH=tests$(if $(PYTHONPATH),:$(PYTHONPATH)) $(BIN)/pytest -p kernels -rs \
		-n 3 --dist loadgroup --nbval --nbval-cell-timeout=300 tests $(NOTEBOOKS); \
	tests=$$?; wait $$types || { echo "mypy: as it says above"; exit 1; }; exit $$tests

test-browser: .venv/.complete ## the canvas in a browser, pictures in build/screenshots
	SCREENSHOTS=1 $(BIN)/pytest -rs tests/browser

# The measurements and the notebooks on real data, as the README says what lies in the folder.
REAL_DATA ?= ../shared
test-real: export EMNIST_ARCHIVE = $(abspath $(REAL_DATA))/emnist/gzip.zip
test-real: export MNIST_DIR = $(abspath $(REAL_DATA))/mnist
test-real: export NLTK_DATA = $(abspath $(REAL_DATA))/nltk_data
test-real: export PHOTOS = $(abspath $(REAL_DATA))/handwriting/photos.zip
test-real: export LAB_DATA_DIR = $(abspath build/real-data)
test-real: .venv/.complete ## the figures and the notebooks on real data: REAL_DATA=folder
	OMP_NUM_THREADS=1 $(BIN)/pytest -rP -n 2 tests/real
	printf '%s\n' $(NOTEBOOKS) | LAB_FAST=1 OMP_NUM_THREADS=1 \
		xargs -n 1 -P 2 $(BIN)/python tools/course/execute.py --to build/real-notebooks

# Without that folder, with what the lab downloads, or the bundled sample.
binder-check: export EMNIST_ARCHIVE = $(wildcard $(abspath $(REAL_DATA))/emnist/gzip.zip)
binder-check: export MNIST_DIR = $(wildcard $(abspath $(REAL_DATA))/mnist)
binder-check: export LAB_DATA_DIR = $(abspath build/real-data)
binder-check: .venv/.complete ## memory and time of each notebook on one core, as on Binder: REAL_DATA=folder
	$(BIN)/python tools/course/binder_check.py $(NOTEBOOKS)

colab-check: .venv/.complete ## installs the lab beside Colab's versions, and runs the notebooks there
	TORCH_INDEX=$(TORCH_INDEX) $(BIN)/python tools/course/colab_check.py $(NOTEBOOKS) labs/ko/01_look_at_emnist.ipynb

faults: .venv/.complete ## tries thousands of times to break the lab, and prints what became of each
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults

coverage: .venv/.complete ## which lines the tests reach
	rm -f .coverage*
	$(SAMPLE_ONLY) $(BIN)/coverage run -m pytest -q --ignore=tests/browser tests
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

# A notebook with checked questions is released from its reference in labs/instructor.
notebook: .venv/.complete ## releases, runs and keeps one notebook: N=3
	@test -n "$(wildcard labs/0$(N)_*.ipynb)" || \
		{ echo "make notebook N=3: N is the number of a notebook in labs/."; exit 2; }
	$(if $(wildcard labs/instructor/0$(N)_*.ipynb), \
		$(BIN)/lab-release $(wildcard labs/instructor/0$(N)_*.ipynb) -o $(wildcard labs/0$(N)_*.ipynb))
	$(SAMPLE_ONLY) $(BIN)/python tools/course/execute.py $(wildcard labs/0$(N)_*.ipynb)
	$(BIN)/python tools/course/translate.py
	$(SAMPLE_ONLY) $(BIN)/python tools/course/execute.py $(patsubst %.po,%.ipynb,$(wildcard labs/*/0$(N)_*.po))

notebooks: .venv/.complete ## the same for all notebooks
	for reference in $(REFERENCES); do \
		$(BIN)/lab-release $$reference -o labs/$$(basename $$reference) || exit 1; done
	$(SAMPLE_ONLY) $(BIN)/python tools/course/execute.py $(NOTEBOOKS)
	$(BIN)/python tools/course/translate.py
	$(SAMPLE_ONLY) $(BIN)/python tools/course/execute.py $(patsubst %.po,%.ipynb,$(wildcard labs/*/0*.po))

bench: .venv/.complete ## measures, against the plain way of doing the same
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/data_loading.py
	$(BIN)/python benchmarks/lightning_overhead.py
	$(BIN)/python benchmarks/live_curves.py
	$(BIN)/python benchmarks/preparation.py
	$(BIN)/python benchmarks/line_drawing.py
	$(BIN)/python benchmarks/in_company.py
	$(BIN)/python benchmarks/resnet.py
	$(BIN)/python benchmarks/canvas_latency.py
	$(BIN)/python benchmarks/share_latency.py
	$(BIN)/python benchmarks/grading.py

sample: .venv/.complete ## makes the bundled characters and joined-up lines again, from fonts and strokes
	$(BIN)/python tools/assets/make_sample.py
	$(BIN)/python tools/assets/draw_joined_lines.py --sample

# EMNIST_ARCHIVE or a download brings the data, PEOPLE a folder with ujipenchars1.zip and
# pendigits.zip, npm fonts and texts, Debian's scowl words; what is interrupted goes on.
weights: .venv/.complete ## trains the networks that ship
	$(BIN)/python tools/assets/train_weights.py
	$(BIN)/python tools/assets/fit_unknown.py
	$(BIN)/python tools/assets/draw_joined_lines.py
	$(BIN)/python tools/assets/draw_print_lines.py
	$(BIN)/python tools/assets/train_line_weights.py
	$(BIN)/python tools/assets/make_sample_strokes.py
	$(BIN)/python tools/assets/make_sample_photos.py

# Outputs come from the English notebooks, texts from labs/ko/*.po, which get what is new to fill in.
translations: .venv/.complete ## builds the Korean notebooks, and lists what is to be translated
	$(BIN)/python tools/course/translate.py

pictures: .venv/.complete ## makes the pictures of README and site again: the canvas, the notebooks
	$(BIN)/python tools/course/make_pictures.py

# With REPOSITORY= (empty) it removes all links; without it, it writes those of the kept address.
links: ## writes links to Colab and Binder everywhere: REPOSITORY=https://github.com/NAME/PROJECT
	$(PYTHON) tools/course/links.py $(if $(filter undefined,$(origin REPOSITORY)),,--repository "$(REPOSITORY)")

site: .venv/.site ## builds the site of the course, in both languages, in build/site
	LAB_OFFLINE=1 $(BIN)/python tools/course/build_site.py

wheel: .venv/.installed ## builds dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## removes what make has made
	rm -rf .venv build dist

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.exit( \
		"The lab needs Python 3.11 to 3.14, and $(PYTHON) is " + sys.version.split()[0] + \
		": name another one with  make lab PYTHON=python3.12")'
	@echo "Installing the lab into .venv: once, a few minutes, 1.5 GB of disk."
	$(PYTHON) -m venv --clear .venv
ifneq ($(TORCH_INDEX),)
	-$(BIN)/python -m pip install --quiet --retries 1 --no-deps -c constraints.txt \
		--index-url $(TORCH_INDEX) torch
endif
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[notebook]"
	@touch $@

.venv/.complete: .venv/.installed
	@echo "Installing what tests need: once, a minute."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[notebook,test]"
	@touch $@

.venv/.site: .venv/.installed
	@echo "Installing what the site needs: once, half a minute."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[notebook,site]"
	@touch $@
