# Doppelboden: what a person types. "make help" lists it.

# Go where Debian does not put it into the PATH.
export PATH := $(PATH):/usr/local/go/bin
# How long each fuzz target runs (make fuzz FUZZTIME=2m).
FUZZTIME ?= 20s
# Where benches work; it must be on the disk that is to be measured.
export BENCH_DIR ?= /var/tmp

.PHONY: help build run test lint scenario screenshots bench bench-large powercut fuzz clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

build: ## bin/doppelboden
	go build -trimpath -o bin/ ./cmd/doppelboden

run: build ## a demo city under var/ with a stand-in for its groupware; ends with Ctrl-C
	scripts/run.sh

test: ## everything: installs what is missing, go vet, all tests (root; Debian)
	scripts/need.sh
	go vet ./...
	go test -race -timeout 20m $$(go list ./... | grep -v -e /test/ -e /store/sqlite)
	go test -timeout 20m ./store/sqlite # the race detector makes its engine ten times as slow: only what is about several at once
	go test -race -timeout 20m -run 'TestACommit|TestAChange|TestASnapshot|TestACheckpoint|TestTheLog|TestWhat|TestClose' ./store/sqlite
	go test -count=1 -timeout 20m ./test/... # they build what they run, which the cache of results cannot know

lint: ## gofmt, go vet, the direction of imports
	scripts/lint.sh

scenario: ## the outages of real cities on real processes, each told as it goes; one with 20,000 people
	scripts/need.sh
	SCENARIO_PEOPLE=20000 go test -count=1 -timeout 60m -v ./test/scenario

screenshots: ## docs/screenshots, from a real node in Chromium
	scripts/need.sh
	SCREENSHOTS=$(CURDIR)/docs/screenshots go test -count=1 -tags screenshots -run TestPictures ./test/browser

bench: build ## side by side with Postfix, up to 30 minutes (BENCH_QUICK=1: one round)
	scripts/need.sh
	go run ./test/bench $(BENCH_FLAGS)

bench-large: build ## 200,000 queued, 1,000,000 stored, 20,000 log-ins and mailboxes that go back; an hour
	scripts/need.sh
	go run ./test/bench -large $(BENCH_FLAGS)

powercut: build ## power cuts of a virtual machine under load (PROVE=1: with the safety off)
	scripts/need.sh
	PROVE=$(PROVE) go run ./test/powercut

fuzz: ## every fuzz target for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

clean: ## what make run and make build made
	rm -rf bin var
