# The developer's whole vocabulary. `make help` lists it.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS   = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
LISTEN   ?= 127.0.0.1:3000
GO       ?= go
RELEASE  ?= dist/simpletalk-$(COMMIT).tar.gz

# The servers of the tests, MongoDB's and NATS's: modules of their own.
FERRETDB   = app/internal/mongo/ferretdb
NATSSERVER = app/internal/nats/natsserver
# What the fan-out is measured against, likewise.
CENTRIFUGE = app/internal/load/fanout/centrifuge

# -race needs cgo, and cgo a C compiler.
CC_FOUND := $(shell command -v gcc || command -v clang || command -v cc)
RACE      = $(if $(CC_FOUND),-race,)
TEST      = $(if $(CC_FOUND),CGO_ENABLED=1,CGO_ENABLED=0) $(GO) test $(RACE) -timeout 25m

# The longest first, so that it runs beside all the others and not after them; the
# browser's last, where it has the machine to itself.
LONGEST   = ./supervisor/e2e
BROWSERS  = ./app/internal/web/uitest
PACKAGES  = $(LONGEST) $$($(GO) list ./... | grep -v -e $(LONGEST:.%=%)$$ -e $(BROWSERS:.%=%)$$) $(BROWSERS)

.PHONY: help build release run dev test bench soak fuzz lint check vuln clean linux

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: linux ## build both static binaries into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/supervisor ./supervisor
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/app ./app

# The same sources make the same bytes, so that a release that is built again is
# still the same one. No member has anybody's name, time or umask.
release: build ## pack what a machine is given into dist/, with its checksum
	mkdir -p $(dir $(RELEASE))
	tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u=rwX,go=rX --transform='s,^bin/,,' \
		-cf - bin/supervisor bin/app $(wildcard nginx/*.conf nginx/snippets/*.conf) | gzip -9n >$(RELEASE)
	cd $(dir $(RELEASE)) && sha256sum $(notdir $(RELEASE)) >$(notdir $(RELEASE)).sha256

run: build ## build and serve the chat at http://127.0.0.1:3000, data in ./data
	@exec bin/supervisor run --bake 3s --listen http=$(LISTEN)

dev: build ## serve as run does, and at every save build and swap: no client is disconnected
	@trap : INT; bin/supervisor run --bake 1s --listen http=$(LISTEN) & supervisor=$$!; \
	bin/supervisor watch --path app --path proto --path supervisor --ignore testdata --ignore '*_test.go' -- \
		$(MAKE) --no-print-directory -s build || kill $$supervisor; \
	wait $$supervisor

test: linux ## run every test, with -race where there is a C compiler
	@test -n "$(CC_FOUND)" || echo "make test: no C compiler found: testing without -race"
	$(TEST) $(PACKAGES)
	$(if $(RACE),CGO_ENABLED=0 $(GO) test -run 'Memory$$' ./app/internal/web ./supervisor/e2e) # as shipped: without -race

bench: linux ## measure: moves, SIGHUP to verdict, crash to first answer, memory, fan-out, the stores
	$(GO) test -run 'Memory$$' -v ./app/internal/web ./supervisor/e2e
	$(GO) test -run '^$$' -bench . -benchtime 10x -timeout 20m ./supervisor/e2e
	$(GO) test -run '^$$' -bench . -benchmem ./app/...

soak: linux ## 5000 people, 20 deploys and 5 kills; ten long runs of random people against a model; thirty of operators by chance
	SOAK=1 $(GO) test -count=1 -run TestNobodyNotices -timeout 30m -v ./supervisor/e2e
	SOAK=1 $(TEST) -count=1 -run TestTheWholeChat -v ./app/internal/web
	SUPERVISE_SEEDS=30 $(TEST) -count=1 -run AtRandom ./supervisor/internal/supervise

fuzz: linux ## run every fuzzer for ten seconds
	@set -e; for f in $$(git ls-files '*_test.go' | xargs grep -ho '^func Fuzz[A-Za-z]*' | sed 's/func //' | sort -u); do \
		dir=$$(dirname $$(git grep -l "func $$f(" -- '*_test.go' | head -1)); \
		echo "$$dir $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 10s ./$$dir; \
	done

lint: ## check formatting, vet and staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

check: ## check that go.mod and go.sum say exactly what the sources need
	$(GO) mod verify
	$(GO) mod tidy -diff
	cd $(FERRETDB) && CGO_ENABLED=0 $(GO) vet . && $(GO) mod verify && $(GO) mod tidy -diff
	cd $(NATSSERVER) && CGO_ENABLED=0 $(GO) vet . && $(GO) mod verify && $(GO) mod tidy -diff
	cd $(CENTRIFUGE) && $(GO) mod verify && $(GO) mod tidy -diff # only make bench builds it

vuln: ## check that no known vulnerability is reached; asks vuln.go.dev
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

clean: ## remove what was built; ./data stays
	rm -rf bin dist

linux:
	@test "$$(uname -s)" = Linux || { echo "SimpleTalk runs on Linux only, this is $$(uname -s): use a Linux machine, a container or WSL 2"; exit 1; }
