# SPDX-License-Identifier: Apache-2.0
# muster: one non-recursive Makefile. Sources by wildcard, objects under $(BUILD)/<variant>/, a library per folder.
#   make            release binaries in build/      make V=1         show commands
#   make check      every test                      make lint        size, layer and style budgets
# BUILD, CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR are yours to set.

BUILD    ?= build
VARIANT  ?= release
PREFIX   ?= /usr/local
DESTDIR  ?=
CC       ?= gcc
AR       ?= ar
VERSION  := 0.1.0

O := $(BUILD)/$(VARIANT)
FOLDERS := base spec images runtime network volumes compose

BASE_CFLAGS := -std=gnu17 -I. -I$(BUILD)/gen -D_GNU_SOURCE -DMUSTER_VERSION='"$(VERSION)"' -DMUSTER_LIBEXEC='"$(PREFIX)/libexec/muster"' \
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wwrite-strings -Wformat=2 -Wundef \
  -Wno-format-nonliteral -fstack-protector-strong -fno-strict-aliasing -fPIE -MMD -MP
ifeq ($(CI),true)
BASE_CFLAGS += -Werror
endif
ifeq ($(VARIANT),asan)
BASE_CFLAGS += -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
BASE_LDFLAGS := -fsanitize=address,undefined -pie
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

# what each binary links: muster-image alone touches archives and compression, muster-run is static
MUSTER_LIBS := -Wl,--as-needed -lyaml -ljansson -lmd
IMAGE_LIBS  := -Wl,--as-needed -larchive -lz -lzstd -lcrypto -lseccomp -ljansson -lmd
RUN_LIBS    := -lseccomp -ljansson -lmd
TEST_LIBS   := -Wl,--as-needed -lyaml -larchive -lz -lzstd -lcrypto -lseccomp -ljansson -lmd

MAINS    := compose/main.c compose/main_run.c compose/main_image.c
SOURCES  := $(filter-out $(MAINS),$(foreach f,$(FOLDERS),$(wildcard $(f)/*.c)))
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

$(O)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BASE_CFLAGS) $(CFLAGS) -c -o $@ $<

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
.PHONY: unit
unit: $(UNIT)

-include $(wildcard $(O)/*/*.d $(O)/tests/unit/*.d)
