# Holdfast: the commands of the project. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
GO ?= go
FOR ?= 10s
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)
KEYS := .holdfast-dev/procfile

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/holdfast
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast

.PHONY: run
run: build ## build and start a three-node cluster on loopback, and say how to use it
	bin/holdfast dev

.PHONY: keys
keys: build ## make the keys that the Procfile's nodes share
	@mkdir -p -m 0700 $(KEYS)
	@test -e $(KEYS)/cluster.key || bin/holdfast cluster-key create --out $(KEYS)/cluster.key
	@test -e $(KEYS)/keys.json || bin/holdfast keys create --keys-file $(KEYS)/keys.json --role operator --name procfile

# Three packages at a time, also on two cores: tests of real processes wait more than they work.
.PHONY: test
test: ## install what tests need (scripts/ci-packages), and run every test with the race detector
	@if scripts/ci-packages; then export HOLDFAST_TOOLS=required; fi; \
	$(GO) test -race -p 3 -timeout 12m ./... || exit; \
	test -n "$$HOLDFAST_TOOLS" || echo "make test: some checks were left out: see NOT INSTALLED above" >&2

.PHONY: lint
lint: ## vet, staticcheck, gofumpt
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@out=$$($(GO) tool gofumpt -l .); test -z "$$out" || { echo "gofumpt would change:"; echo "$$out"; exit 1; }

.PHONY: fmt
fmt: ## format the tree
	$(GO) tool gofumpt -w .

.PHONY: fuzz
fuzz: ## fuzz every decoder, each for FOR (default 10s; 1000x counts runs)
	scripts/fuzz $(FOR)

.PHONY: attack
attack: build ## throw all bad input that we know of at three real nodes; ARGS='-short' leaves out what waits for long
	$(GO) run ./scripts/attack -bin bin/holdfast $(ARGS)

.PHONY: bench
bench: build ## measure three nodes against the floor; ARGS='-quick' for a smoke run
	$(GO) run ./scripts/bench -bin bin/holdfast $(ARGS)

.PHONY: archive
archive: build ## save 1 million sessions and restore them into an empty cluster, with times and memory; ARGS='-quick'
	$(GO) run ./scripts/bench -bin bin/holdfast -rows archive $(ARGS)

.PHONY: rolling
rolling: build ## restart every node behind HAProxy and nginx under load: no request may fail; ARGS='-for 5m'
	@scripts/ci-packages haproxy nginx
	$(GO) run ./scripts/rolling -bin bin/holdfast -lb haproxy $(ARGS)
	$(GO) run ./scripts/rolling -bin bin/holdfast -lb nginx $(ARGS)
