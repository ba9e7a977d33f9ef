# The commands of this project; CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# --no-compile below leaves byte code to the first import, which must be allowed to write it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install run tensorboard test slow bench lint format golden lock image clean

# What the pipeline needs, into .venv, at the versions and hashes of the lock that the image is built from. A lock is complete:
# --no-deps keeps pip from looking for releases that it has no hash of. --no-compile leaves the byte code of modules to
# their first import, since most of them are never imported.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile
$(VENV)/.installed: components/requirements.txt pyproject.toml
	@echo "Installing what the pipeline needs into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r components/requirements.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

# What tests, lint and the commands for clusters need on top of it.
$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what tests and lint need into $(VENV)"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

# All of it.
install: $(VENV)/.installed-dev

# The main job on generated data: logs in, a trained, evaluated and exported retrieval model out.
run: $(VENV)/.installed
	@$(BIN)/two-tower run --output output
	@echo
	@echo "two-tower recommend --index output/index --session i7,i8,i12 -k 5 --exclude-seen"
	@$(BIN)/two-tower recommend --index output/index --session i7,i8,i12 -k 5 --exclude-seen

# The loss and the validation metrics of selection and refit by epoch, and a map of the items, in a browser.
TENSORBOARD_PORT ?= 6006
tensorboard: $(VENV)/.installed
	PYTHONWARNINGS=ignore $(BIN)/tensorboard --logdir output/tensorboard --port $(TENSORBOARD_PORT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

# The tests that take over 5 s.
slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m slow --timeout 900

# Exact ranks beside the bare matrix product and TFRS' own metric. The front door's: tests/benchmarks/front_door.py.
bench: $(VENV)/.installed-dev
	$(BIN)/python tests/benchmarks/ranking.py --tfrs

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes the golden YAML anew, for changes that are meant.
golden: $(VENV)/.installed-dev
	RENEW_GOLDEN=1 $(BIN)/python -m pytest tests/pipeline/test_compilation.py -k golden

# Locks the dependencies anew, for every supported Python, without the address of an index.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml
lock: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(LOCK) --extra components -o components/requirements.txt
	$(LOCK) --extra components --extra gpu -c components/requirements.txt -o components/requirements-gpu.txt
	$(LOCK) --extra components --extra docker --extra vertex --extra dev -c components/requirements.txt \
		-o requirements-dev.txt

# The image of every task, for ACCELERATOR=cpu or gpu; prints its name last. BASE_IMAGE names another base than the pinned one.
ACCELERATOR ?= cpu
image: $(VENV)/.installed
	set -e; image=$$($(BIN)/python -c "from components.image import make_image_name as f; print(f('$(ACCELERATOR)'))"); \
	docker build --network=host --build-arg ACCELERATOR=$(ACCELERATOR) \
		$(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) --build-arg VERSION="$${image#*:}" \
		--tag "$$image" --file components/Dockerfile .; \
	echo "$$image"

clean:
	rm -rf $(VENV) output build *.egg-info
