# gwen-cpu: GNU make 4.3 or later.  `make help` lists the targets.
#
#   BUILD=DIR    where everything built goes (build)         V=1       show the commands
#   CC, CFLAGS   compiler and its optimisation (gcc, -O2 -g)  WERROR=1  warnings are errors
#   SANITIZE=    list for -fsanitize=                        POOL=openmp|pthreads
#   PREFIX, DESTDIR, LIBDIR, MANDIR, INCLUDEDIR, COMPDIR     where to install
#   RUN=PROGRAM   runs what was built for another processor (qemu-aarch64-static)
#
# Sources are found by wildcard: a new file in a known folder is built, a new test is run.

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin AR),default)
AR := ar
endif
BUILD ?= build
CFLAGS ?= -O2 -g
CROSS ?=
LD_R ?= $(CROSS)ld -r
OBJCOPY ?= $(CROSS)objcopy
SANITIZE ?=
WERROR ?=
V ?=
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
COMPDIR ?= $(PREFIX)/share/bash-completion/completions
RUN ?=

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help
all:

VERSION := $(shell sed -n 's/^\#define GWEN_VERSION "\(.*\)"/\1/p' include/gwen/gwen.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null || uname -m)
ARCH := $(if $(filter x86_64%,$(MACHINE)),x86,$(if $(filter aarch64% arm64%,$(MACHINE)),arm))

# OpenMP makes the thread pool's threads.  clang needs libomp's headers for it; where they are
# missing the pool falls back to plain threads, which give the same results.
ifndef POOL
POOL := openmp
ifneq ($(findstring clang,$(shell $(CC) --version 2>/dev/null)),)
POOL := $(shell echo 'int main(void) { return omp_get_max_threads() < 1; }' | \
  $(CC) -fopenmp -include omp.h -x c - -o /dev/null 2>/dev/null && echo openmp || echo pthreads)
endif
endif
POOL_FLAGS := $(if $(filter pthreads,$(POOL)),-DGW_POOL_PTHREADS -pthread,-fopenmp)

# Exact results need -ffp-contract=off, which stands after CFLAGS so that nothing undoes it.
GW_CPPFLAGS := -D_GNU_SOURCE -Iinclude -Isrc -Isimd
GW_CFLAGS := -std=c11 -fPIC -fvisibility=hidden $(POOL_FLAGS) -Wall -Wextra -Wshadow \
  -Wstrict-prototypes $(if $(WERROR),-Werror)
EXACT := -ffp-contract=off -fno-math-errno -fno-fast-math
SAN_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
  -fno-omit-frame-pointer)
COMPILE = $(CC) $(GW_CPPFLAGS) $(CPPFLAGS) $(GW_CFLAGS) $(CFLAGS) $(EXACT) $(SAN_FLAGS)
LINK = $(CC) $(POOL_FLAGS) $(SAN_FLAGS) $(LDFLAGS)
LIBS := -lz -lsqlite3 -lcjson -ljansson -lpcre2-8 -lutf8proc -lhwloc -lnuma -lm

# Kernels alone are compiled for more than the baseline, each file for its own instruction set, and
# at -O3: below, gcc 12 leaves their arrays of registers in memory.
isa_flags = $(if $(filter simd/%,$1),-O3) \
  $(if $(filter simd/x86/avx2%,$1),-mavx2 -mfma -mf16c) \
  $(if $(filter-out simd/x86/avx512bf16%,$(filter simd/x86/avx512%,$1)),$(FLAGS_AVX512)) \
  $(if $(filter simd/x86/avx512bf16%,$1),$(FLAGS_AVX512) -mavx512bf16) \
  $(if $(filter simd/arm/neonfp16%,$1),-march=armv8.2-a+fp16+fp16fml) \
  $(if $(filter simd/arm/neonbf16%,$1),-march=armv8.2-a+fp16+fp16fml+bf16)
FLAGS_AVX512 := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl

SIMD_SRC := $(wildcard simd/*.c simd/ref/*.c $(if $(ARCH),simd/$(ARCH)/*.c))
LIB_SRC := $(sort $(shell find src -name '*.c' -not -path 'src/cli/*')) $(SIMD_SRC)
CLI_SRC := $(sort $(shell find src/cli -name '*.c'))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$1)

# Show "CC file" instead of the command, unless V=1.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$1' '$2')

# --- what the build needs, looked at once per run of make -------------------------------------
DEPS_OK := $(BUILD)/.deps
$(DEPS_OK): FORCE
	@mkdir -p $(BUILD)
	@$(if $(GW_DEPS_CHECKED),:,CC='$(CC)' scripts/deps.sh auto)
	@test -e $@ || touch $@
export GW_DEPS_CHECKED

# --- objects; all are rebuilt when a flag changes, the libraries when a source comes or goes -----
FLAGS_FILE := $(BUILD)/.flags
FLAGS_NOW = $(COMPILE) $(FLAGS_AVX512) $(ARCH)
LIST_FILE := $(BUILD)/.sources
LIST_NOW = $(LIB_SRC) $(CLI_SRC)
keep = @mkdir -p $(BUILD); printf '%s\n' '$1' | cmp -s - $@ || printf '%s\n' '$1' >$@
$(FLAGS_FILE): FORCE
	$(call keep,$(FLAGS_NOW))
$(LIST_FILE): FORCE
	$(call keep,$(LIST_NOW))
FORCE:

$(BUILD)/obj/%.o: %.c $(FLAGS_FILE) | $(DEPS_OK)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(call isa_flags,$<) -MMD -MP -c $< -o $@
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- libraries --------------------------------------------------------------------------------
# libgwen-internal.a is for the command line and the tests.  libgwen.a is one object in which all
# but the public names have been made local, so that it clashes with nothing it is linked into.
INTERNAL := $(BUILD)/libgwen-internal.a
$(INTERNAL): $(call objects,$(LIB_SRC)) $(LIST_FILE)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/libgwen.a: $(call objects,$(LIB_SRC)) $(LIST_FILE)
	$(call say,AR,$@)
	$(Q)$(LD_R) -o $(BUILD)/obj/gwen.o $(filter %.o,$^)
	$(Q)$(OBJCOPY) --localize-hidden $(BUILD)/obj/gwen.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(BUILD)/obj/gwen.o

$(BUILD)/libgwen.so.$(VERSION): $(call objects,$(LIB_SRC)) $(LIST_FILE)
	$(call say,LD,$@)
	$(Q)$(LINK) -shared -Wl,-soname,libgwen.so.$(SOVERSION) -Wl,--as-needed \
	  $(if $(SANITIZE),,-Wl,-z,defs) -o $@ $(filter %.o,$^) $(LIBS)
$(BUILD)/libgwen.so.$(SOVERSION) $(BUILD)/libgwen.so: $(BUILD)/libgwen.so.$(VERSION)
	@ln -sf $(<F) $@

# PREFIX may differ from one run of make to the next, and two may run at a time.
pc = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
  -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' \
  -e 's|@POOL_FLAGS@|$(filter-out -D%,$(POOL_FLAGS))|' gwen.pc.in

GWEN := $(if $(CLI_SRC),$(BUILD)/gwen-cpu)
$(BUILD)/gwen-cpu: $(call objects,$(CLI_SRC)) $(INTERNAL) $(LIST_FILE)
	$(call say,LD,$@)
	$(Q)$(LINK) -Wl,--as-needed -o $@ $(filter %.o %.a,$^) $(LIBS)

# Manual pages and completion come from the tables of options and are printed by the program, so that
# they have each of them; they are made, not kept, since kept ones would have to be made again with
# every change of a help text.
PAGES := $(if $(GWEN),$(BUILD)/pages/completions/gwen-cpu)
$(BUILD)/pages/completions/gwen-cpu: $(BUILD)/gwen-cpu scripts/pages.sh $(wildcard man/*.roff)
	$(call say,MAN,$(BUILD)/pages)
	$(Q)scripts/pages.sh $(BUILD)/pages $(RUN) $(BUILD)/gwen-cpu

LIBRARIES := $(INTERNAL) $(BUILD)/libgwen.a $(BUILD)/libgwen.so $(BUILD)/libgwen.so.$(SOVERSION)
all: $(LIBRARIES) $(GWEN) $(PAGES)

# --- for people ---------------------------------------------------------------------------------
.PHONY: deps demo bench install uninstall clean format format-check
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make                build the libraries and build/gwen-cpu
## make deps           install what is missing, by apt-get
deps:
	@CC='$(CC)' scripts/deps.sh install

## make demo           a small model learns to do sums by GRPO
demo: all
	@GWEN=$(BUILD)/gwen-cpu bash examples/demo.sh

## make bench          the programs of bench/, and gwen-cpu's own memory and GEMM benches
BENCHES := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(INTERNAL)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)
bench: all $(BENCHES)
	@set -e; for b in $(BENCHES); do echo "== $$b"; $$b; done
	@set -e; if [ -n '$(GWEN)' ]; then $(GWEN) bench membw; $(GWEN) bench gemm; fi

## make install        into DESTDIR and PREFIX (/usr/local); make uninstall takes it away
HEADERS := $(wildcard include/gwen/*.h)
install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/gwen $(DESTDIR)$(MANDIR)/man1 \
	  $(DESTDIR)$(COMPDIR) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/gwen
	install -m 644 $(BUILD)/libgwen.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(BUILD)/libgwen.so.$(VERSION) $(DESTDIR)$(LIBDIR)
	ln -sf libgwen.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libgwen.so.$(SOVERSION)
	ln -sf libgwen.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libgwen.so
	$(pc) >$(DESTDIR)$(LIBDIR)/pkgconfig/gwen.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/gwen.pc
	install -m 755 $(GWEN) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/pages/man1/*.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(PAGES) $(DESTDIR)$(COMPDIR)
uninstall:
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/gwen/,$(notdir $(HEADERS))) \
	  $(DESTDIR)$(LIBDIR)/libgwen.a $(DESTDIR)$(LIBDIR)/libgwen.so* \
	  $(DESTDIR)$(LIBDIR)/pkgconfig/gwen.pc $(DESTDIR)$(MANDIR)/man1/gwen-cpu.1 \
	  $(DESTDIR)$(MANDIR)/man1/gwen-cpu-*.1 $(DESTDIR)$(COMPDIR)/gwen-cpu \
	  $(DESTDIR)$(PREFIX)/bin/gwen-cpu
	-rmdir $(DESTDIR)$(INCLUDEDIR)/gwen

## make deb            a Debian package of it all: BUILD/gwen-cpu_VERSION_ARCH.deb
.PHONY: deb
deb: all
	@rm -rf $(BUILD)/deb
	@$(MAKE) install DESTDIR='$(abspath $(BUILD))/deb' PREFIX=/usr \
	  LIBDIR=/usr/lib/$(shell $(CC) -print-multiarch) >/dev/null
	@scripts/deb.sh $(BUILD)/deb $(BUILD) $(VERSION)

## make clean          remove BUILD
clean:
	rm -rf $(BUILD)

## make format         clang-format on every source; make format-check only looks
FORMATTED = $(shell find $(wildcard src simd include tests bench examples) -name fixtures -prune -o \
  -name '*.[ch]' -print)
format:
	@clang-format -i $(FORMATTED)
format-check:
	@clang-format --dry-run -Werror $(FORMATTED)

include mk/test.mk
