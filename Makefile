# Rhizome. `make mount` sets everything up on a fresh machine and mounts; `make test` tests everything.
# Longer things take a budget in seconds: make crash SECONDS=300
GO      ?= go
DIR     ?= $(HOME)/Rhizome
SECONDS ?= 60
IPFS    ?= ipfs
CORE    := ./identity ./ipld/... ./eventlog ./fs ./fs/tree ./raftstore ./internal/store ./internal/dagcbor
export CGO_ENABLED = 0
# Nothing that is compiled names this directory: another clone finds it in Go's cache.
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS) -trimpath)

.PHONY: build mount tools test check race layers sim crash flips posix programs ipfs soak fuzz bench clean

build:
	$(GO) build -ldflags '-s -w' -o bin/rhizome ./cmd/rhizome

# mount builds one static binary, installs fuse3 if it is missing, and mounts in the background.
mount: build
	@command -v fusermount3 >/dev/null || ./scripts/install fuse3
	@bin/rhizome mount --detach "$(DIR)"

# tools are the programs that tests run on the mount.
tools:
	@./scripts/install fuse3 rsync sqlite3 vim tar attr acl e2fsprogs fio inotify-tools

# Package tests comes first: it waits a lot, and the others fill that time. It builds the program, which is compiled before so that nothing
# is compiled twice at once. What pgregory.net/rapid draws is the same each time, as what other tests draw is.
test: export RAPID_SEED = 1
test: export RAPID_CHECKS = 50
test: tools build
	$(GO) test $(TESTFLAGS) -timeout 10m ./tests ./...

check: tools layers race
	test -z "$$(gofmt -l .)"
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin $(GO) vet $(CORE)
	GOARCH=arm64 $(GO) build ./...

layers:
	$(GO) test -run TestLayers ./tests

race: export CGO_ENABLED = 1
race:
	$(GO) test -race -timeout 15m $(CORE) ./internal/control

# sim replays random histories of three replicas until the budget is used up, and prints how many a second. Then the log's own histories, and
# those that rapid draws: as many as there are seconds, and ten times as many.
sim:
	$(GO) test -count=1 -timeout 0 -run TestHistories ./internal/sim -v -args -seconds $(SECONDS)
	RAPID_CHECKS=$(SECONDS)0 $(GO) test -count=1 -timeout 0 ./eventlog -args -seeds $(SECONDS)
	RAPID_CHECKS=$(SECONDS)0 $(GO) test -count=1 -timeout 0 ./ipld ./fs/tree ./fs/snapshot

# crash kills the daemon (-9) under load on the real mount, and backups, exports and recoveries, and cuts the power of its disk, again and
# again, and checks what they had promised. A seed that is printed draws the same again: -args -crash N -crash-seed SEED.
crash: tools
	$(GO) test -count=1 -timeout 0 -run '^(TestCrash|TestPowerCut|TestCopiesCrash)$$' ./tests -v -args -crash $(SECONDS)

# flips flips random bits of a store, one at a time, FLIPS of them at least: rhizome verify names each, or all that can be read is as it was. It also
# damages every kind of record, repairs it, and kills repairs.
FLIPS ?= 1000
flips:
	$(GO) test -count=1 -timeout 0 -run '^(TestFlips|TestVerifyNames.*|TestRepair.*|TestFirstRun.*)$$' ./internal/daemon -v -args -flips $(SECONDS) -flips-count $(FLIPS) -repair-crashes $(SECONDS)

# programs has large programs do on one mount what takes them minutes, and prints how long, on the mount and in a plain directory of
# the same disk. npm asks its registry.
programs: tools
	@./scripts/install git restic borgbackup libreoffice-writer-nogui unzip libglib2.0-bin gvfs dbus-daemon
	@command -v npm >/dev/null || ./scripts/install npm
	$(GO) test -count=1 -timeout 0 -run '^TestHeavyPrograms$$' ./tests -v -args -programs

# ipfs has Kubo read what export writes: make ipfs IPFS=/path/to/ipfs
ipfs: tools
	@command -v "$(IPFS)" >/dev/null || { echo "make ipfs needs Kubo's ipfs: make ipfs IPFS=/path/to/ipfs" >&2; exit 1; }
	$(GO) test -count=1 -timeout 10m -run '^TestIPFS$$' ./tests -v -args -ipfs "$$(command -v "$(IPFS)")"

# soak has eight processes work on one mount, each against a model of its own, and random operations on the bytes of one file
# against bytes in memory. A seed that is printed replays the operations: -args -soak N -soak-seed SEED.
soak: tools
	$(GO) test -count=1 -timeout 0 -run '^(TestSoak|TestFsx|TestManyOpenFiles|TestBigFile)$$' ./tests -v -args -soak $(SECONDS)
	$(GO) test -count=1 -timeout 0 -run '^(TestFaults|TestCrashes|TestCrashAtAnyChange|TestCrashWhileAllRuns|TestCollectionDuringSnapshotCrash|TestSnapshot(Crash|Schedules))$$' ./internal/store ./fs -args -faults $(SECONDS)

# posix makes random calls as several users on the real mount and on a tmpfs, and compares all results.
posix:
	$(GO) test -count=1 -timeout 0 -run TestPosixRandom ./tests -v -args -posix $(SECONDS)

# fuzz gives each decoder a share of the budget.
fuzz:
	./scripts/fuzz $(SECONDS)

bench:
	$(GO) test -run '^$$' -bench . ./internal/store ./eventlog ./fs/... ./ipld ./raftstore ./internal/daemon ./tests

clean:
	rm -rf bin
