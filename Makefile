# SPDX-License-Identifier: Apache-2.0
# Everything is built under $(B); sanitizer builds under $(B)/SAN. The user's CPPFLAGS, CFLAGS and LDFLAGS come last, but
# for the flags without which the preloaded object would not be safe in a foreign process (HOST_CFLAGS).
# Quiet unless V=1. Tests are run by tests/run.py, which adds up what every suite reports.

B ?= build
# One name for one folder: what depends on what is noted under the name that the object was made by.
override B := $(patsubst $(CURDIR)/%,%,$(abspath $(B)))
SAN ?=
V ?= 0
CC ?= cc
AR ?= ar
CLANG ?= clang
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 1800
prefix ?= /usr/local
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
# Where tickbird install --system puts objects.
systemdir ?= $(libdir)/tickbird
mandir ?= $(prefix)/share/man
includedir ?= $(prefix)/include
sysconfdir ?= /etc

VERSION := $(shell cat VERSION)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
O := $(B)$(if $(SAN),/$(SAN))
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-7s %s\n' "$(1)" "$(2)")
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# --- flags -----------------------------------------------------------------------------------------------------------
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
TB_CPPFLAGS := -D_GNU_SOURCE -DTB_VERSION='"$(VERSION)"' -DTB_SYSCONFDIR='"$(sysconfdir)"' -I. -Iagent
TB_CFLAGS := -std=gnu11 -O2 -g -ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Wshadow -Wconversion -fvisibility=hidden $(WERROR) $(SAN_FLAGS)
# Code that runs inside somebody else's process: no libc, no stack protector or fortify calls (they would be imports), no tail
# call out of a constructor (libc would take the wrong caller), unwind tables so that a cancelled thread can pass through. How much
# stack each function takes is written beside its object, for check-object.
HOST_CFLAGS := -fstack-usage -fPIC -ffreestanding -fno-stack-protector -U_FORTIFY_SOURCE -fasynchronous-unwind-tables \
	-fno-optimize-sibling-calls -fno-tree-loop-distribute-patterns -fno-lto
# AArch64: gcc's helpers that choose between two kinds of atomic instructions at run time are a library's (libgcc).
HOST_CFLAGS += $(if $(filter aarch64%,$(shell $(CC) -dumpmachine)),-mno-outline-atomics)
# Wrappers of host functions that have nothing to do jump to the real one; the others keep their frame.
$(O)/shim/hooks.o: HOST_CFLAGS += -foptimize-sibling-calls
HOST_LDFLAGS := -shared -nostdlib -Wl,-soname,libtickbird.so -Wl,--hash-style=both -Wl,-z,now -Wl,-z,relro \
	-Wl,-z,noexecstack -Wl,-z,defs -Wl,-z,nodelete -Wl,-Bsymbolic
# gzip by ISA-L's igzip where it is installed, else by zlib.
HAS_ISAL := $(shell $(PKG_CONFIG) --exists libisal 2>/dev/null && echo 1 || echo 0)
# Inlets that ask a Redis server, where hiredis is installed.
HAS_HIREDIS := $(shell $(PKG_CONFIG) --exists hiredis 2>/dev/null && echo 1 || echo 0)
EXPORTER_PKGS := libmicrohttpd yaml-0.1 jansson gnutls libcrypt libseccomp libzstd libcurl $(if $(filter 1,$(HAS_ISAL)),libisal,zlib) \
	$(if $(filter 1,$(HAS_HIREDIS)),hiredis)
# (hiredis asks for another name of pwrite, which tests then do not find.)
EXPORTER_CFLAGS = $(filter-out -D_FILE_OFFSET_BITS=%,$(shell $(PKG_CONFIG) --cflags $(EXPORTER_PKGS) 2>/dev/null)) -DTB_HAS_ISAL=$(HAS_ISAL) -DTB_HAS_HIREDIS=$(HAS_HIREDIS)
# What only remote write needs has no pkg-config file.
EXPORTER_LIBS = -lsnappy $(shell $(PKG_CONFIG) --libs $(EXPORTER_PKGS) 2>/dev/null || \
	echo -lmicrohttpd -lyaml -ljansson -lgnutls -lcrypt -lseccomp -lzstd -lcurl -lz)
# Only the command looks at core files.
CLI_LIBS = $(shell $(PKG_CONFIG) --libs libdw libelf 2>/dev/null || echo -ldw -lelf)
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null || echo -lcmocka)
LIBS := -lpthread -lm

# --- sources ---------------------------------------------------------------------------------------------------------
AGENT_SRC := $(wildcard agent/*.c)
SHIM_SRC := $(wildcard shim/*.c)
EXPORTER_SRC := $(filter-out $(if $(filter 0,$(HAS_HIREDIS)),exporter/inlet_redis.c),$(wildcard exporter/*.c))
CLI_SRC := $(wildcard exporter/cli/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
objs = $(patsubst %.c,$(O)/%.o,$(1))

AGENT_LIB := $(O)/agent.a
EXPORTER_LIB := $(O)/exporter.a
OBJECT := $(O)/libtickbird.so
# For 32-bit programs of a machine that is preloaded as a whole; needs no 32-bit library to build.
INERT := $(if $(filter x86_64%,$(shell $(CC) -dumpmachine)),$(O)/libtickbird-i386.so)
PROGRAMS := $(if $(wildcard exporter/main.c),$(O)/tickbird-exporter) $(if $(wildcard exporter/cli/main.c),$(O)/tickbird)
UNIT_PROGRAMS := $(patsubst %.c,$(O)/%,$(UNIT_SRC))
REPLAY_PROGRAMS := $(patsubst %.c,$(O)/%.replay,$(FUZZ_SRC))
FUZZ_PROGRAMS := $(patsubst %.c,$(B)/fuzz/%,$(FUZZ_SRC))
AFL_PROGRAMS := $(patsubst %.c,$(B)/afl/%,$(FUZZ_SRC))
JUDGED_PROGRAMS := $(patsubst %.c,$(O)/%,$(wildcard tests/prometheus/*.c))
BENCH_PROGRAMS := $(patsubst %.c,$(O)/%,$(BENCH_SRC))

.PHONY: all demo check check-programs check-unit check-corpus check-preload check-compat check-compat-releases \
	check-cli check-servers check-chaos check-prometheus check-transparency check-machine check-object check-asan check-ubsan check-tsan fuzz soak bench coverage lint format install uninstall dist clean help setup

all: $(AGENT_LIB) $(if $(SHIM_SRC),$(OBJECT)) $(INERT) $(PROGRAMS) ## build libtickbird.so, tickbird-exporter and tickbird

# --- objects ---------------------------------------------------------------------------------------------------------
$(O)/agent/%.o: agent/%.c Makefile VERSION
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -MMD -MP $(TB_CPPFLAGS) $(CPPFLAGS) $(TB_CFLAGS) $(CFLAGS) $(HOST_CFLAGS) -c -o $@ $<

$(O)/shim/%.o: shim/%.c Makefile VERSION
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -MMD -MP $(TB_CPPFLAGS) $(CPPFLAGS) $(TB_CFLAGS) $(CFLAGS) $(HOST_CFLAGS) -c -o $@ $<

$(O)/exporter/%.o: exporter/%.c Makefile VERSION
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -MMD -MP $(TB_CPPFLAGS) -DTB_REVISION='"$(REVISION)"' \
		-DTB_LIBDIR='"$(libdir)"' -DTB_SYSTEMDIR='"$(systemdir)"' $(EXPORTER_CFLAGS) $(CPPFLAGS) \
		$(TB_CFLAGS) $(CFLAGS) -c -o $@ $<

$(O)/tests/%.o: tests/%.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -MMD -MP $(TB_CPPFLAGS) -Iexporter $(EXPORTER_CFLAGS) $(CPPFLAGS) $(TB_CFLAGS) $(CFLAGS) \
		-c -o $@ $<

# What the assembler reads into them (assets.c).
$(O)/exporter/assets.o $(B)/fuzz/exporter/assets.o $(B)/afl/exporter/assets.o: $(wildcard exporter/page/*) $(wildcard docs/*.md)

$(AGENT_LIB): $(call objs,$(AGENT_SRC))
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

$(EXPORTER_LIB): $(call objs,$(filter-out exporter/main.c,$(EXPORTER_SRC)))
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

# Linked under another name and renamed: rewriting a mapped object in place would kill the programs that have it mapped.
$(OBJECT): $(call objs,$(SHIM_SRC)) $(AGENT_LIB) $(wildcard shim/libtickbird.map)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(filter-out -fsanitize=% -fno-sanitize-%,$(TB_CFLAGS)) $(HOST_LDFLAGS) \
		$(if $(wildcard shim/libtickbird.map),-Wl$(comma)--version-script=shim/libtickbird.map) \
		-o $@.new $(filter %.o,$^) -Wl,--whole-archive $(AGENT_LIB) -Wl,--no-whole-archive && mv -f $@.new $@
comma := ,

$(O)/libtickbird-i386.so: packaging/inert.c Makefile VERSION
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -m32 -DTB_VERSION='"$(VERSION)"' -std=gnu11 -O2 -Wall -Wextra -shared -nostdlib -ffreestanding -fPIC \
		-Wl,-soname,libtickbird.so -Wl,--hash-style=both -o $@.new $< && mv -f $@.new $@

$(O)/tickbird-exporter: $(call objs,$(filter exporter/main.c,$(EXPORTER_SRC))) $(EXPORTER_LIB) $(AGENT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(TB_CFLAGS) $(CFLAGS) -o $@.new $^ $(LDFLAGS) $(EXPORTER_LIBS) $(LIBS) && mv -f $@.new $@

$(O)/tickbird: $(call objs,$(CLI_SRC)) $(EXPORTER_LIB) $(AGENT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(TB_CFLAGS) $(CFLAGS) -o $@.new $^ $(LDFLAGS) -Wl,--as-needed $(EXPORTER_LIBS) $(CLI_LIBS) $(LIBS) && mv -f $@.new $@

# A test that replaces functions says so in lines `LDFLAGS: -Wl,--wrap=name` of its opening comment.
$(O)/tests/unit/test_%: $(O)/tests/unit/test_%.o $(EXPORTER_LIB) $(AGENT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(TB_CFLAGS) $(CFLAGS) -o $@ $^ $(shell sed -n 's/.*LDFLAGS: *\(-Wl[^ *]*\).*/\1/p' tests/unit/test_$*.c) $(LDFLAGS) \
		-Wl,--as-needed $(CMOCKA_LIBS) $(EXPORTER_LIBS) $(LIBS)

$(O)/tests/bench/tls_calls: LIBS += -lssl -lcrypto
$(O)/tests/bench/%: $(O)/tests/bench/%.o $(EXPORTER_LIB) $(AGENT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(TB_CFLAGS) $(CFLAGS) -o $@ $^ $(LDFLAGS) -Wl,--as-needed $(EXPORTER_LIBS) $(LIBS)

$(O)/tests/prometheus/%: $(O)/tests/prometheus/%.o $(EXPORTER_LIB) $(AGENT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(TB_CFLAGS) $(CFLAGS) -o $@ $^ $(LDFLAGS) -Wl,--as-needed $(EXPORTER_LIBS) $(LIBS)

# The corpus can be replayed with any compiler; `make fuzz` needs clang, `make fuzz-afl` AFL++. A target that replaces
# functions says so as a unit test does.
wraps = $(shell sed -n 's/.*LDFLAGS: *\(-Wl[^ *]*\).*/\1/p' $(1))
$(O)/tests/fuzz/%.replay: $(O)/tests/fuzz/%.o $(O)/tests/fuzz/replay.o $(EXPORTER_LIB) $(AGENT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(TB_CFLAGS) $(CFLAGS) -o $@ $^ $(call wraps,tests/fuzz/$*.c) $(LDFLAGS) -Wl,--as-needed $(EXPORTER_LIBS) $(LIBS)

FUZZ_FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZ_OBJS := $(patsubst %.c,%.o,$(AGENT_SRC) $(filter-out exporter/main.c,$(EXPORTER_SRC)))
$(B)/fuzz/%.o: %.c Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) -MMD -MP $(TB_CPPFLAGS) -Iexporter $(EXPORTER_CFLAGS) $(CPPFLAGS) $(FUZZ_FLAGS) \
		-fsanitize=fuzzer-no-link,address,undefined $(CFLAGS) -c -o $@ $<
$(B)/fuzz/all.a: $(addprefix $(B)/fuzz/,$(FUZZ_OBJS))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/fuzz/tests/fuzz/%: $(B)/fuzz/tests/fuzz/%.o $(B)/fuzz/all.a
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $^ $(call wraps,tests/fuzz/$*.c) $(LDFLAGS) \
		$(EXPORTER_LIBS) $(LIBS)

# The same targets through AFL++: its driver calls them in one process (persistent mode), input in shared memory.
$(B)/afl/%.o: %.c Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && AFL_QUIET=1 AFL_USE_ASAN=1 AFL_USE_UBSAN=1 afl-clang-fast -MMD -MP $(TB_CPPFLAGS) -Iexporter \
		$(EXPORTER_CFLAGS) $(CPPFLAGS) $(FUZZ_FLAGS) $(CFLAGS) -c -o $@ $<
$(B)/afl/all.a: $(addprefix $(B)/afl/,$(FUZZ_OBJS))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/afl/tests/fuzz/%: $(B)/afl/tests/fuzz/%.o $(B)/afl/all.a
	$(call say,AFL,$@)
	$(Q)AFL_QUIET=1 AFL_USE_ASAN=1 AFL_USE_UBSAN=1 afl-clang-fast -fsanitize=fuzzer -o $@ $^ $(call wraps,tests/fuzz/$*.c) \
		$(LDFLAGS) $(EXPORTER_LIBS) $(LIBS)

# --- checks ----------------------------------------------------------------------------------------------------------
RUN = B=$(O) $(PYTHON) tests/run.py --build $(O)

check: ## everything: set-up, build, unit, corpus, preload, transparency, compatibility, command, servers, chaos, Prometheus, pushing, object
	$(Q)packaging/setup.sh build check
	$(Q)$(MAKE) --no-print-directory check-programs
	$(Q)$(RUN) unit corpus object preload transparency compat cli differential servers chaos prometheus push page packaging

check-programs: all $(UNIT_PROGRAMS) $(REPLAY_PROGRAMS) $(JUDGED_PROGRAMS)

check-unit: $(UNIT_PROGRAMS) ## unit tests of every module
	$(Q)$(RUN) unit
check-corpus: $(REPLAY_PROGRAMS) ## replay the fuzz corpus
	$(Q)$(RUN) corpus
.PHONY: check-differential
check-differential: all ## long: where messages end, against llhttp (TB_STREAMS=400000) and real servers (TB_MUTATED=1000)
	$(Q)packaging/setup.sh build check
	$(Q)TB_STREAMS=$${TB_STREAMS:-400000} TB_MUTATED=$${TB_MUTATED:-1000} $(RUN) differential
check-object: all ## what the preloaded object imports and exports
	$(Q)$(RUN) object
check-preload: all ## small servers, one for each I/O pattern, with the real object
	$(Q)$(RUN) preload
check-compat: all ## ways of loading, other libcs, an old kernel
	$(Q)$(RUN) compat $(if $(ONLY),--only $(ONLY))
check-compat-releases: all ## the same object in old and new userlands, every server on an old kernel (long; downloads)
	$(Q)packaging/setup.sh build check releases
	$(Q)B=$(O) $(PYTHON) tests/compat/releases.py $(ONLY)
check-cli: all ## the tickbird command
	$(Q)$(RUN) cli
check-servers: all ## real servers under real load, compared exactly (ONLY=nginx,node picks some)
	$(Q)packaging/setup.sh build check
	$(Q)$(RUN) servers $(if $(ONLY),--only $(ONLY))
check-chaos: all ## processes killed, directories full and hostile, namespaces, planted secrets
	$(Q)$(RUN) chaos $(if $(ONLY),--only $(ONLY))
check-transparency: all ## other projects' test suites with and without the object, test by test (long, needs root)
	$(Q)packaging/setup.sh build suites
	$(Q)B=$(O) $(PYTHON) tests/transparency/run.py --long
	$(Q)B=$(O) $(PYTHON) tests/transparency/check_suites.py $(if $(ONLY),--suite $(ONLY)) $(if $(QUICK),--quick)
check-machine: all ## a day's work on a fresh Debian root, plain and with the object in every process, byte for byte (long, needs root)
	$(Q)packaging/setup.sh build suites
	$(Q)B=$(O) $(PYTHON) tests/transparency/machine/machine.py $(ONLY)
check-prometheus: all $(JUDGED_PROGRAMS) ## a real Prometheus, promtool, parsers of others
	$(Q)$(RUN) prometheus
.PHONY: check-formats
check-formats: all $(JUDGED_PROGRAMS) ## long: 200 random expositions through the parsers of others (downloads Go modules)
	$(Q)packaging/setup.sh build check
	$(Q)TB_FETCH=1 TB_ROUNDS=$${TB_ROUNDS:-200} B=$(O) $(PYTHON) tests/prometheus/test_formats.py
.PHONY: check-own-metrics
check-own-metrics: all ## programs with client libraries of their own, Node's and FastAPI's among them (downloads from npm and PyPI)
	$(Q)packaging/setup.sh build check train
	$(Q)TB_FETCH=1 $(RUN) --only own_metrics servers
.PHONY: check-lambda
check-lambda: lambda-layer ## the layer, with the runtimes of AWS for Python and Node (downloads from PyPI and npm)
	$(Q)packaging/setup.sh build check lambda
	$(Q)TB_LAYER=$(abspath $(LAYER)) TB_FETCH=1 $(RUN) --only lambda push
.PHONY: check-inlets
check-inlets: all ## long: queues of a real RabbitMQ and of Celery's Flower (downloads from PyPI)
	$(Q)packaging/setup.sh build check queues
	$(Q)TB_LONG=1 TB_FETCH=1 $(RUN) --only inlets cli
.PHONY: check-push
check-push: all ## what is pushed, to real receivers (downloads Go modules; TB_TF_PLUGINS: folder of Terraform's providers)
	$(Q)packaging/setup.sh build check
	$(Q)TB_FETCH=1 $(RUN) push
.PHONY: check-packaging
check-packaging: all ## long: archives and packages built twice, judged by their tools, put into other root file systems (downloads)
	$(Q)packaging/setup.sh build check packaging
	$(Q)TB_LONG=1 $(RUN) packaging
check-asan: ## unit tests and corpus under AddressSanitizer
	$(Q)$(MAKE) --no-print-directory SAN=address check-unit check-corpus
check-ubsan: ## the same under UndefinedBehaviorSanitizer
	$(Q)$(MAKE) --no-print-directory SAN=undefined check-unit check-corpus
check-tsan: ## the same under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory SAN=thread check-unit

fuzz: $(FUZZ_PROGRAMS) ## fuzz each target for FUZZ_SECONDS (60), starting from the corpus (ONLY=http1,ledger picks some)
	$(Q)tests/fuzz/run.sh libfuzzer $(B)/fuzz $(FUZZ_SECONDS) $(ONLY)
.PHONY: fuzz-afl
fuzz-afl: ## the same targets through AFL++
	$(Q)packaging/setup.sh build fuzz
	$(Q)$(MAKE) --no-print-directory $(AFL_PROGRAMS)
	$(Q)tests/fuzz/run.sh afl $(B)/afl $(FUZZ_SECONDS) $(ONLY)

soak: all ## real servers under traffic for SOAK_SECONDS (1800) while everything is killed, stopped, reloaded, starved
	$(Q)packaging/setup.sh build check
	$(Q)B=$(O) $(PYTHON) tests/chaos/soak.py --seconds $(SOAK_SECONDS)

bench: ## cost per request, memory, system calls; compared with tests/bench/expected.txt
	$(Q)packaging/setup.sh build bench
	$(Q)$(MAKE) --no-print-directory all $(BENCH_PROGRAMS)
	$(Q)B=$(O) $(PYTHON) tests/bench/run.py

.PHONY: route-model
route-model: ## the model of routes and its list of words made anew (half an hour; fetches public API descriptions and LightGBM)
	$(Q)packaging/setup.sh build train
	$(Q)tests/bench/train/train.sh $(B)/route-model

coverage: ## line coverage of the unit tests and the corpus
	$(Q)$(MAKE) --no-print-directory B=$(B)/coverage CFLAGS="--coverage -O0" LDFLAGS=--coverage check-unit check-corpus
	$(Q)tests/coverage.sh $(B)/coverage

lint: ## formatting, static analysis, imports, exports, include direction, banned functions, versions, scripts
	$(Q)packaging/setup.sh build lint
	$(Q)$(MAKE) --no-print-directory B=$(B)/lint WERROR=-Werror all
	$(Q)B=$(B)/lint tests/lint/run.sh

format: ## apply .clang-format
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

demo: ## nginx, a Python server, the exporter and a real Prometheus, on this machine
	$(Q)packaging/setup.sh build demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(O) examples/demo/run.sh

setup: ## install what a build, a demo and the checks need (Debian, Ubuntu)
	$(Q)packaging/setup.sh build demo check lint bench

install: all ## install into $(DESTDIR)$(prefix)
	$(Q)B=$(O) DESTDIR="$(DESTDIR)" prefix="$(prefix)" bindir="$(bindir)" libdir="$(libdir)" mandir="$(mandir)" includedir="$(includedir)" \
		VERSION=$(VERSION) packaging/install.sh install
uninstall: ## remove exactly what install put there
	$(Q)DESTDIR="$(DESTDIR)" prefix="$(prefix)" bindir="$(bindir)" libdir="$(libdir)" mandir="$(mandir)" includedir="$(includedir)" \
		VERSION=$(VERSION) packaging/install.sh uninstall

# Files of the archives have the time of the last commit, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
dist: all ## archives in $(B)/dist: the sources, and programs that bring everything along; checksums, SBOM
	$(Q)mkdir -p $(B)/dist && git archive --prefix=tickbird-$(VERSION)/ HEAD | gzip -9n >$(B)/dist/tickbird-$(VERSION).tar.gz
	$(Q)packaging/dist.py $(O) $(VERSION) $(SOURCE_DATE_EPOCH) $(B)/dist

.PHONY: lambda-layer
LAYER := $(B)/dist/tickbird-lambda-$(VERSION)-$(shell uname -m).zip
lambda-layer: all ## the layer for AWS Lambda, of this architecture, in $(B)/dist
	$(Q)packaging/lambda_layer.py $(O) $(SOURCE_DATE_EPOCH) $(LAYER)

.PHONY: deb rpm
# With the directories of a distribution compiled in, so apart from the other objects.
PACKAGED = $(MAKE) --no-print-directory B=$(B)/packaged prefix=/usr libdir=/usr/lib/tickbird systemdir=/usr/lib/tickbird/system
deb: ## a package for Debian and Ubuntu, in $(B)/dist
	+$(Q)$(PACKAGED) all
	$(Q)SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) packaging/deb.sh $(B)/packaged $(VERSION) $(B)/dist
rpm: ## a package for distributions with rpm, in $(B)/dist
	+$(Q)$(PACKAGED) all
	$(Q)SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) packaging/rpm.sh $(B)/packaged $(VERSION) $(B)/dist

clean: ## remove everything built
	$(Q)rm -rf $(B)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r t d; do printf '  %-17s %s\n' "$$t" "$$d"; done

.SECONDARY:
-include $(shell find $(O) $(B)/fuzz $(B)/afl -name '*.d' -type f -not -path '*/machine/*' 2>/dev/null | sort -u)
