# Everything here needs Go and git alone, but for `race` (a C compiler).
# Tools are pinned and run with `go run tool@version`: nothing is installed.

GO           ?= go
GOFUMPT      := mvdan.cc/gofumpt@v0.12.0
STATICCHECK  := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Length of the fuzz runs: executions ("300000x"), or a duration ("30s").
FUZZTIME         ?= 300000x
NIGHTLY_FUZZTIME ?= 20000000x
# Arguments of `ringfence fuzz`, and what `replay` reads.
ARGS             ?=
DIVERGENCES      ?= $(wildcard divergences/*/divergence.json)
BENCH            ?= .
BENCHTIME        ?= 1s
# Cases of walls over each transport and protocol, and time under fire.
WALLS            ?= 1000000
ENDURANCE        ?= 0
MUTANTS          ?= 300
MUTANT_SEED      ?= 1
# Cases of silicon-soak: in one run, and run twice.
SOAK_CASES       ?= 100000000
SOAK_REPEAT      ?= 10000000
SOAK_SEED        ?= 1
PTRACE           ?= 100000
# States of each general-purpose row in each mode.
STATES           ?= 10000

.DEFAULT_GOAL := help
.PHONY: walls help build test race lint fuzz fuzz-all fuzz-nightly bench corpus generate silicon-ptrace replay mutants silicon-soak states check clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the command into bin/ringfence
	$(GO) build -o bin/ringfence ./cmd/ringfence

test: ## run every test
	$(GO) test ./...

race: ## run every test under the race detector (needs a C compiler)
	@command -v $$($(GO) env CC) >/dev/null || { echo "make race: no C compiler ($$($(GO) env CC)) here; the race detector needs one" >&2; exit 1; }
	CGO_ENABLED=1 $(GO) test -race -short ./...

lint: ## vet, gofumpt, staticcheck, golangci-lint
	$(GO) vet ./...
	@out=$$($(GO) run $(GOFUMPT) -l .); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOLANGCI) run ./...

fuzz: ## the main job: model against CPU and x86asm (ARGS="--for 10m")
	$(GO) run ./cmd/ringfence fuzz $(ARGS)

fuzz-all: ## every FuzzX in turn (FUZZTIME=300000x)
	@set -e; targets=$$(bash .ci/fuzz-targets); \
	echo "$$targets" | while read -r package target; do \
		echo "==> $$package $$target, $(FUZZTIME)"; \
		$(GO) test $$package -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1000x </dev/null; \
	done

fuzz-nightly: ## every FuzzX for a night's budget (NIGHTLY_FUZZTIME=20000000x), then an hour of the main job
	$(MAKE) fuzz-all FUZZTIME=$(NIGHTLY_FUZZTIME)
	$(MAKE) fuzz ARGS="--for 1h $(ARGS)"

bench: ## every benchmark (BENCH=regexp BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) ./...

corpus: ## distil the seeds again from their sources
	$(GO) run ./corpus/internal/distil

generate: ## generate code from the instruction table, and pages from table and quirks
	$(GO) generate ./...
	@$(GO) run ./cmd/ringfence isa --coverage >docs/.coverage && mv docs/.coverage docs/coverage.md
	@$(GO) run ./cmd/ringfence sweep --trophies >docs/.trophies && mv docs/.trophies docs/TROPHIES.md

silicon-ptrace: ## the runner against ptrace (PTRACE=100000 random strings a mode)
	$(GO) test ./oracle/silicon/ptrace -v -count 1 -timeout 0 -random $(PTRACE)

walls: ## the model behind each wall answers as in-process (WALLS=1000000 cases each), and lives while it is killed (ENDURANCE=30m, all at once)
	$(GO) test ./fuzz/walls -v -count 1 -timeout 0 -parallel 64 -walls.cases $(WALLS) -walls.endurance $(ENDURANCE)

replay: ## run recorded divergences again (DIVERGENCES="divergences/*/divergence.json")
	@if [ -z "$(DIVERGENCES)" ]; then echo "no divergences to replay"; else $(GO) run ./cmd/ringfence replay $(DIVERGENCES); fi

mutants: ## plant flaws in the model and see that each is found (MUTANTS=300 MUTANT_SEED=1)
	$(GO) test ./fuzz/mutants -v -count 1 -timeout 0 -mutants $(MUTANTS) -seed $(MUTANT_SEED)

silicon-soak: ## the CPU as oracle for long: nothing lost, nothing that changes (SOAK_CASES=100000000 SOAK_REPEAT=10000000)
	$(GO) test ./oracle/silicon -run TestSoak -v -count 1 -timeout 0 -soak.cases $(SOAK_CASES) -soak.repeat $(SOAK_REPEAT) -soak.seed $(SOAK_SEED)

states: ## each general-purpose row in each mode in many states, model against CPU (STATES=10000)
	$(GO) run ./cmd/ringfence fuzz --states $(STATES) --strict --mode 64,32,16 --reference silicon $(ARGS)

check: ## what a change has to pass: .ci/run
	bash .ci/run

clean: ## remove what was built, and the fuzz cache
	rm -rf bin
	$(GO) clean -testcache -fuzzcache
