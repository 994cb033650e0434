# make demo: samples -> three notebooks -> two scores.   make test: lint, unit tests, notebooks.
VENV ?= .venv
PYTHON ?= python3
BIN := $(abspath $(VENV))/bin
SAMPLES := $(CURDIR)/build/samples

.PHONY: help demo test lint unit floors torture samples notebooks-test notebooks docs clean

help:
	@echo "make demo       sample trailers through the three notebooks to a score (about two minutes after the install)"
	@echo "make test       lint, unit tests, and the notebooks on sample trailers"
	@echo "make torture    kills, torn files, full disks, broken videos in full numbers (make test has a few of each)"
	@echo "make floors     the unit tests with the lowest versions that requirements.txt admits (another 6 GB)"
	@echo "make docs       write docs/settings.md from the code"
	@echo "make notebooks  re-execute the committed notebooks on sample trailers, and make the README's picture"
	@echo "make clean      remove what these made: .venv, demo, build"

$(VENV)/installed: requirements.txt pyproject.toml
	@echo "== installing into $(VENV): the first time this takes some minutes and 6 GB, most of it torch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --progress-bar off -r requirements.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python notebooks/demo.py demo

test: lint unit notebooks-test

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

floors:
	$(PYTHON) -m venv build/floors
	build/floors/bin/pip install --quiet uv
	build/floors/bin/uv pip install --quiet --python build/floors/bin/python --resolution lowest-direct \
		-r requirements.txt -e '.[dev]'
	OMP_NUM_THREADS=1 build/floors/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

torture: $(VENV)/installed
	TORTURE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder \
		--durations=12 $$(grep -rlE 'amount\(|TORTURE' tests --include='test_*.py' | sort)

docs: $(VENV)/installed
	$(BIN)/python docs/settings.py

samples: $(VENV)/installed
	rm -rf $(SAMPLES)
	$(BIN)/python -m trailer_lib samples --root $(SAMPLES)

notebooks-test: samples
	TRAILER_ROOT=$(SAMPLES) $(BIN)/python -m pytest -q --nbval-lax --nbval-current-env --nbval-cell-timeout=300 \
		notebooks/1_scrape.ipynb notebooks/2_create_dataset.ipynb notebooks/3_train.ipynb

notebooks: samples
	$(BIN)/python notebooks/run.py $(SAMPLES) notebooks
	$(BIN)/python -m trailer_lib predict $(SAMPLES)/held_out/sample00072.mp4 --model $(SAMPLES)/models/best_model.pt \
		--genres "$$(sed -n 2p $(SAMPLES)/held_out/scores.csv | cut -d, -f5)" --runtime 105 \
		--year "$$(sed -n 2p $(SAMPLES)/held_out/scores.csv | cut -d, -f3)" --figure notebooks/prediction.png

clean:
	rm -rf $(VENV) demo build
