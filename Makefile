# SPDX-License-Identifier: Apache-2.0
# muster: one non-recursive Makefile. Sources by wildcard, objects under $(BUILD)/<variant>/, a library per folder.
#   make              release binaries in build/          make deps       install what building and testing need (Debian, Ubuntu)
#   make demo         the pets example, from nothing      make demo-down  takes it down, with its volume
#   make check        every test                          make lint       size, layer and style budgets
#   make unit|spec-test|schema-test|build-test|system      one suite                make asan       unit and spec tests under ASan and UBSan
#   make check-vm     the tests on Linux 6.1 with cgroup v2 and with systemd, in an emulated machine
#   make bench        figures beside the floor program    make fuzz       each fuzz target for FUZZ_SECONDS
#   make fault        every failpoint, action and step       make soak       SOAK_ROUNDS (2000) of up and down, a quarter of restarts and scales
#   make install      PREFIX, DESTDIR; make uninstall     make format     clang-format
# V=1 shows commands; VARIANT=release|debug|asan|cov|fuzz; BUILD, CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, ONLY (a test's name) are yours to set.

BUILD    ?= build
VARIANT  ?= release
PREFIX   ?= /usr/local
DESTDIR  ?=
CC       ?= gcc
AR       ?= ar
VERSION  := 0.1.0

O := $(BUILD)/$(VARIANT)
FOLDERS := base spec images runtime network volumes compose

BASE_CFLAGS := -std=gnu17 -I. -I$(BUILD)/gen -D_GNU_SOURCE -DMUSTER_VERSION='"$(VERSION)"' \
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wwrite-strings -Wformat=2 -Wundef \
  -Wno-format-nonliteral -fstack-protector-strong -fno-strict-aliasing -fPIE -MMD -MP
# warnings are errors in CI, in the variant that ships: sanitisers make the compiler warn of what cannot happen
ifeq ($(CI)/$(VARIANT),true/release)
BASE_CFLAGS += -Werror
endif
ifeq ($(VARIANT),asan)
BASE_CFLAGS += -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
BASE_LDFLAGS := -fsanitize=address,undefined -pie
RUN_LDFLAGS := $(BASE_LDFLAGS)
else ifeq ($(VARIANT),fuzz)
CC := clang
BASE_CFLAGS += -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -Wno-unused-command-line-argument
BASE_LDFLAGS := -fsanitize=address,undefined -pie
RUN_LDFLAGS := $(BASE_LDFLAGS)
else ifeq ($(VARIANT),cov)
BASE_CFLAGS += -O0 -g --coverage
BASE_LDFLAGS := -pie --coverage
RUN_LDFLAGS := $(BASE_LDFLAGS)
else ifeq ($(VARIANT),debug)
BASE_CFLAGS += -O0 -g3
BASE_LDFLAGS := -pie -Wl,-z,relro,-z,now
RUN_LDFLAGS := -static-pie -Wl,-z,relro,-z,now
else
BASE_CFLAGS += -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
BASE_LDFLAGS := -pie -Wl,-z,relro,-z,now -Wl,--gc-sections
RUN_LDFLAGS := -static-pie -Wl,-z,relro,-z,now -Wl,--gc-sections
BASE_CFLAGS += -ffunction-sections -fdata-sections
endif

# ISA-L inflates gzip where it is installed; ISAL= builds without it
ISAL := $(shell printf '\043include <isa-l/igzip_lib.h>\nint main(void) { isal_inflate_init(0); }' | $(CC) -x c - -o /dev/null -lisal 2>/dev/null && echo yes)
ifneq ($(ISAL),)
$(O)/images/gunzip.o: BASE_CFLAGS += -DHAVE_ISAL
ISAL_LIBS := -lisal
endif

# what each binary links: muster-image alone touches archives and compression, muster-run is static
MUSTER_LIBS := -Wl,--as-needed -lyaml -ljansson -lmd
IMAGE_LIBS  := -Wl,--as-needed $(ISAL_LIBS) -lcurl -lssl -lssh2 -larchive -lz -lzstd -lcrypto -lseccomp -ljansson -lmd
RUN_LIBS    := -lseccomp -ljansson -lmd
TEST_LIBS   := -Wl,--as-needed $(ISAL_LIBS) -lyaml -lcurl -lssl -lssh2 -larchive -lz -lzstd -lcrypto -lseccomp -ljansson -lmd

MAINS    := compose/main.c compose/main_run.c compose/main_image.c
SOURCES  := $(filter-out $(MAINS),$(foreach f,$(FOLDERS) images/build,$(wildcard $(f)/*.c)))
LIBS     := $(foreach f,$(FOLDERS),$(O)/lib$(f).a)
objects   = $(patsubst %.c,$(O)/%.o,$(filter $(1)/%,$(SOURCES)))
# dependency direction: base -> spec -> {images runtime network volumes} -> compose
LINK_ALL := $(O)/libcompose.a $(O)/libimages.a $(O)/libruntime.a $(O)/libnetwork.a $(O)/libvolumes.a $(O)/libspec.a $(O)/libbase.a

ifeq ($(V),1)
Q :=
else
Q := @
say = @printf '  %-5s %s\n' $(1) $(2)
endif

ifeq ($(VARIANT),release)
BIN := $(BUILD)
else
BIN := $(O)
endif
BINARIES := $(BIN)/muster $(BIN)/muster-run $(BIN)/muster-image

.PHONY: all
all: $(BINARIES)

$(BIN)/muster: $(O)/compose/main.o $(LINK_ALL)
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(MUSTER_LIBS)
$(BIN)/muster-run: $(O)/compose/main_run.o $(LINK_ALL)
	$(call say,LD,$@)
	$(Q)$(CC) $(RUN_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_LIBS)
$(BIN)/muster-image: $(O)/compose/main_image.o $(LINK_ALL)
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(IMAGE_LIBS)

define folder_lib
$(O)/lib$(1).a: $(call objects,$(1))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_lib,$(f))))

# other flags or another PREFIX rebuild what they touch, and nothing else
define stamp
$(1): force
	$$(Q)mkdir -p $$(@D); printf '%s\n' '$$(subst ','\'',$(2))' | cmp -s - $$@ || printf '%s\n' '$$(subst ','\'',$(2))' >$$@
endef
$(eval $(call stamp,$(O)/flags,$$(CC) $$(BASE_CFLAGS) $$(CFLAGS)))
$(eval $(call stamp,$(O)/prefix,$$(PREFIX)))
.PHONY: force
force:

$(O)/compose/paths.o: private PATHS_CFLAGS := -DMUSTER_LIBEXEC='"$(PREFIX)/libexec/muster"'
$(O)/compose/paths.o: $(O)/prefix

# the schema becomes constant tables, by a tool that runs on the machine that builds
HOSTCC ?= $(CC)
$(BUILD)/gen/schema-compile: schema/compile.c spec/schema_pattern.c spec/schema_pattern.h spec/schema_table.h
	$(call say,HOST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(HOSTCC) -std=gnu17 -I. -D_GNU_SOURCE -Wall -Wextra -O1 -o $@ $(filter %.c,$^) -ljansson
$(BUILD)/gen/spec/schema_tables.inc: schema/compose.schema.json $(BUILD)/gen/schema-compile
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BUILD)/gen/schema-compile $< >$@.tmp && mv $@.tmp $@
$(O)/spec/schema_table.o: $(BUILD)/gen/spec/schema_tables.inc

$(O)/%.o: %.c $(O)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BASE_CFLAGS) $(PATHS_CFLAGS) $(CFLAGS) -c -o $@ $<

# unit tests: tests/unit/<folder>_<module>.c is one program, linked with its folder, spec and base only
# (tests/unit/compose_*.c with everything); exit 0 = passed, 77 = skipped
UNIT_SRC := $(wildcard tests/unit/*.c)
UNIT     := $(patsubst tests/unit/%.c,$(O)/unit/%,$(UNIT_SRC))
unit_folder = $(firstword $(subst _, ,$(basename $(notdir $(1)))))
unit_libs = $(if $(filter compose,$(1)),$(LINK_ALL),$(if $(filter base spec,$(1)),,$(O)/lib$(1).a) $(O)/libspec.a $(O)/libbase.a)
define unit_rule
$(O)/unit/$(basename $(notdir $(1))): $(O)/tests/unit/$(basename $(notdir $(1))).o $(call unit_libs,$(call unit_folder,$(1)))
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(BASE_LDFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(TEST_LIBS)
endef
$(foreach u,$(UNIT_SRC),$(eval $(call unit_rule,$(u))))
.PHONY: unit-programs unit spec-test schema-test build-test system asan check lint
unit-programs: $(UNIT)

# these build several things: with all processors unless the caller's make already runs jobs
JOBS = $(if $(findstring j,$(firstword $(MAKEFLAGS))$(filter -j%,$(MAKEFLAGS))),,-j$(shell nproc))
# tests/run knows the suites; each prints one line a test and "N passed, N failed, N skipped" at its end
RUN_TESTS = BUILD='$(BUILD)' MAKE='$(MAKE)' tests/run $(if $(ONLY),--only '$(ONLY)')
unit: unit-programs
	$(Q)$(RUN_TESTS) unit
spec-test schema-test build-test system: all unit-programs
	$(Q)$(RUN_TESTS) $(@:-test=)
asan:
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=asan all unit-programs
	$(Q)$(RUN_TESTS) asan
check: deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) all unit-programs
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=asan all unit-programs
	$(Q)$(RUN_TESTS) lint unit spec schema build system fault soak asan
lint: $(BINARIES)
	$(Q)tests/lint '$(O)'

# every failpoint with every action in every step, and each process of ours killed in each phase; `check` has each point once.
# FAULT_JOBS: how many cases at once, two a processor unless set
.PHONY: fault
fault: all
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=asan all
	$(Q)$(RUN_TESTS) --variant asan --only torn system
	$(Q)MUSTER_STORM=1 $(RUN_TESTS) --only storm system
	$(Q)BUILD='$(BUILD)' tests/fault/driver --full $(if $(FAULT_JOBS),--jobs $(FAULT_JOBS)) $(if $(ONLY),--only '$(ONLY)') '$(BIN)/muster'
	$(Q)BUILD='$(BUILD)' tests/fault/images --full $(if $(ONLY),--only '$(ONLY)') '$(BIN)/muster'
	$(Q)BUILD='$(BUILD)' tests/fault/builds --full $(if $(ONLY),--only '$(ONLY)') '$(BIN)/muster'

# thousands of rounds; what the kernel counts is equal before and after. `check` has a few rounds
.PHONY: soak
soak: all
	$(Q)BUILD='$(BUILD)' SOAK_ROUNDS='$(or $(SOAK_ROUNDS),2000)' tests/soak/run '$(BIN)/muster'

# the unit and system tests on Debian 12's 6.1 kernel with all controllers on cgroup v2, beside systemd, and with system calls refused:
# about half an hour in an emulated machine; STEPS chooses (tests/vm/run --help lists them)
.PHONY: check-vm
check-vm: deps-vm
	$(Q)$(MAKE) --no-print-directory $(JOBS) all unit-programs
	$(Q)BUILD='$(BUILD)' tests/vm/run $(STEPS)

.PHONY: deps deps-test deps-demo deps-vm
deps-vm:
	$(Q)tests/lib/deps build test vm
deps:
	$(Q)tests/lib/deps build test demo
deps-test:
	$(Q)tests/lib/deps build test demo
deps-demo:
	$(Q)tests/lib/deps build demo

# the pets example, end to end
.PHONY: demo demo-down
demo: deps-demo
	$(Q)$(MAKE) --no-print-directory $(JOBS) all
	$(Q)BUILD='$(BUILD)' examples/pets/demo up
demo-down:
	$(Q)BUILD='$(BUILD)' examples/pets/demo down

# figures: the floor program does the bare kernel work, everything else is measured against it
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
$(BUILD)/bench/imagefloor: tests/bench/imagefloor.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -O2 $(CFLAGS) $(LDFLAGS) -o $@ $< -lcrypto -lz -lzstd
$(BUILD)/bench/%: tests/bench/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -I. -D_GNU_SOURCE -Wall -Wextra -O2 $(CFLAGS) -static $(LDFLAGS) -o $@ $<
.PHONY: bench
bench: all $(BENCH)
	$(Q)BUILD='$(BUILD)' tests/bench/run
	$(Q)BUILD='$(BUILD)' tests/bench/images

# fuzz targets: tests/fuzz/<folder>_<what>.c with LLVMFuzzerTestOneInput, corpus beside it in tests/fuzz/corpus/<folder>_<what>/
FUZZ_SECONDS ?= 30
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRC))
define fuzz_rule
$(O)/fuzz/$(basename $(notdir $(1))): $(O)/tests/fuzz/$(basename $(notdir $(1))).o $(call unit_libs,$(call unit_folder,$(1)))
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) -fsanitize=fuzzer $$(BASE_LDFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(TEST_LIBS)
endef
$(foreach f,$(FUZZ_SRC),$(eval $(call fuzz_rule,$(f))))
.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ)
fuzz:
	$(Q)$(MAKE) --no-print-directory VARIANT=fuzz fuzz-programs
	$(Q)BUILD='$(BUILD)' FUZZ_SECONDS='$(FUZZ_SECONDS)' tests/run fuzz

# what an installed muster consists of; a package sets PREFIX=/usr and DESTDIR
INSTALL ?= install
COMPLETIONS = share/bash-completion/completions/muster share/zsh/site-functions/_muster
INSTALLED = bin/muster libexec/muster/muster-run libexec/muster/muster-image share/man/man1/muster.1 share/doc/muster/LICENSE $(COMPLETIONS)
D = $(DESTDIR)$(PREFIX)
.PHONY: install uninstall
install: all
	$(Q)$(INSTALL) -d '$(D)/bin' '$(D)/libexec/muster' '$(D)/share/man/man1' '$(D)/share/doc/muster' $(foreach c,$(COMPLETIONS),'$(D)/$(dir $(c))')
	$(Q)$(INSTALL) -m 755 $(BIN)/muster '$(D)/bin/muster'
	$(Q)$(INSTALL) -m 755 $(BIN)/muster-run $(BIN)/muster-image '$(D)/libexec/muster/'
	$(Q)$(INSTALL) -m 644 docs/muster.1 '$(D)/share/man/man1/muster.1'
	$(Q)$(INSTALL) -m 644 LICENSE '$(D)/share/doc/muster/LICENSE'
	$(Q)$(BIN)/muster completion bash >'$(D)/share/bash-completion/completions/muster'
	$(Q)$(BIN)/muster completion zsh >'$(D)/share/zsh/site-functions/_muster'
	$(call say,INST,$(D)/bin/muster)
uninstall:
	$(Q)rm -f $(foreach f,$(INSTALLED),'$(D)/$(f)')
	$(Q)rmdir '$(D)/libexec/muster' '$(D)/share/doc/muster' 2>/dev/null || true

.PHONY: format clean
format:
	$(Q)clang-format -i $(foreach f,$(FOLDERS) images/build tests/unit tests/bench tests/fuzz,$(wildcard $(f)/*.c $(f)/*.h))
clean:
	$(Q)rm -rf '$(BUILD)' compile_commands.json

# for clangd and clang-tidy
compile_commands.json: force
	$(Q)tests/lib/compile-commands '$(CC) $(subst ','\'',$(BASE_CFLAGS))' $(SOURCES) $(wildcard $(MAINS)) $(UNIT_SRC) >$@

-include $(wildcard $(O)/*/*.d $(O)/images/build/*.d $(O)/tests/*/*.d)
