# The commands of this project; CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install run test bench lint format lock image clean

# Everything the project needs, into .venv, at the versions and hashes of the lock. The lock is complete; where a package
# asks for an extra of another one, pip would look for that one's newest release and refuse it for want of a hash.
install: $(VENV)/.installed

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The main job on generated data: logs in, a trained, evaluated and exported retrieval model out.
run: install
	$(BIN)/two-tower run --output output
	@echo
	@echo "Ask the index for items after a session:"
	$(BIN)/two-tower recommend --index output/index --session i7,i9,i12 -k 5 --exclude-seen

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile

# Exact ranks beside the bare matrix product and TFRS' own metric. The front door's: tests/benchmarks/front_door.py.
bench: install
	$(BIN)/python tests/benchmarks/ranking.py --tfrs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Locks the dependencies anew, for every supported Python, without the address of an index.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml
lock:
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(LOCK) --extra components -o components/requirements.txt
	$(LOCK) --extra components --extra gpu -c components/requirements.txt -o components/requirements-gpu.txt
	$(LOCK) --extra components --extra docker --extra vertex --extra dev -c components/requirements.txt \
		-o requirements-dev.txt

# The image of every task, for ACCELERATOR=cpu or gpu; prints its name last.
ACCELERATOR ?= cpu
image: install
	set -e; image=$$($(BIN)/python -c "from components.image import make_image_name as f; print(f('$(ACCELERATOR)'))"); \
	docker build --network=host --build-arg ACCELERATOR=$(ACCELERATOR) --build-arg VERSION="$${image#*:}" \
		--tag "$$image" --file components/Dockerfile .; \
	echo "$$image"

clean:
	rm -rf $(VENV) output build *.egg-info
