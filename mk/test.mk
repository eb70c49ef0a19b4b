# test.mk - everything that is run to find mistakes; included by the Makefile.
#
# `make check` builds, then calls itself with the instruction-set levels below this machine's own
# (a test program tells them): every run of a test is a target RESULTS/LEVEL/KIND/NAME.count, so
# that `make -j2 check` runs two tests at a time.  scripts/run-test.sh counts what each reports.

RESULTS := $(BUILD)/results
SHARED := $(or $(GWEN_SHARED),../shared)
GOLDEN ?= $(SHARED)/data/golden
TESTS ?= %
LEVELS ?= all
FUZZ_SECONDS ?= 60
QEMU ?= qemu-aarch64-static

# --- programs ---------------------------------------------------------------------------------
# tests/unit has the folders of src.
UNIT := $(patsubst tests/unit/%.c,%,$(sort $(shell find tests/unit -name 'test_*.c')))
UNIT_COMMON := $(call objects,$(wildcard tests/unit/*.c))
# Tests that ask for their level are run at every one, but for those that say "level: any";
# tests/structure/levels.sh sees to it that whatever computes asks.
UNIT_ISA := $(if $(UNIT),$(patsubst tests/unit/%.c,%,$(shell grep -LE '^( \*|/\*) level: any' \
  $$(grep -lE 'scratch_isa|test_level|GWEN_ISA|gwen_kernels' $(UNIT:%=tests/unit/%.c)))))
.PHONY: list-lower
list-lower:
	@echo $(LOWER_RUNS)
CHECKASM := $(if $(wildcard tests/simd/*.c),$(BUILD)/tests/checkasm)
GOLDEN_RUNNER := $(if $(wildcard tests/golden/*.c),$(BUILD)/tests/golden)
ISA_TOOL := $(BUILD)/tests/isa
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
# Targets that have a corpus are also run over it by a plain loop, with any compiler.
REPLAY := $(patsubst fuzz_%,replay_%,$(filter $(patsubst tests/fuzz/corpus/%,fuzz_%,\
  $(wildcard tests/fuzz/corpus/*)),$(FUZZ)))

GW_CPPFLAGS += -Itests

# Static patterns: make would delete the objects of implicit ones.
$(UNIT:%=$(BUILD)/tests/unit/%): $(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o \
  $(UNIT_COMMON) $(INTERNAL)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -lcmocka $(LIBS)
$(BUILD)/tests/isa: $(BUILD)/obj/tests/tools/isa.o $(call objects,$(SIMD_SRC))
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -lm
$(BUILD)/tests/checkasm: $(call objects,$(wildcard tests/simd/*.c) $(SIMD_SRC))
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -lm
$(BUILD)/tests/golden: $(call objects,$(wildcard tests/golden/*.c)) $(INTERNAL)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)
$(REPLAY:%=$(BUILD)/tests/fuzz/%): $(BUILD)/tests/fuzz/replay_%: \
  $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/replay.o $(INTERNAL)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)
$(FUZZ:%=$(BUILD)/tests/fuzz/%): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(INTERNAL)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# --- one run of one test ------------------------------------------------------------------------
# $1 level ("native" is what the machine has), $2 kind of report, $3 name, then the command
run = @RESULTS='$(RESULTS)' GWEN='$(abspath $(GWEN))' BUILD='$(BUILD)' CC='$(CC)' \
  MAKE='$(MAKE)' SANITIZE='$(SANITIZE)' GWEN_SHARED='$(abspath $(SHARED))' \
  $(if $(filter-out native,$1),GWEN_ISA='$1') scripts/run-test.sh '$1' $2 '$3'

define level_rules
$$(RESULTS)/$1/unit/%.count: $$(BUILD)/tests/unit/%
	$$(call run,$1,cmocka,unit/$$*) $$<
$$(RESULTS)/$1/simd/checkasm.count: $$(BUILD)/tests/checkasm
	$$(call run,$1,checkasm,simd/checkasm) $$<
$$(RESULTS)/$1/golden/own.count: $$(GOLDEN_RUNNER)
	$$(call run,$1,golden,golden/own) $$< tests/fixtures/golden
$$(RESULTS)/$1/golden/shared.count: $$(GOLDEN_RUNNER)
	$$(call run,$1,golden,golden/shared) $$< $$(GOLDEN)
$$(RESULTS)/$1/fuzz/%.count: $$(BUILD)/tests/fuzz/%
	$$(call run,$1,exit,fuzz/$$*) $$< tests/fuzz/corpus/$$(*:replay_%=%)
$$(RESULTS)/$1/cli/%.count: tests/cli/%.sh $$(GWEN)
	$$(call run,$1,exit,cli/$$*) tests/cli/run.sh $$<
$$(RESULTS)/$1/structure/%.count: tests/structure/%.sh
	$$(call run,$1,exit,structure/$$*) bash $$<
$$(RESULTS)/$1/api/%.count: tests/api/%.sh
	+$$(call run,$1,exit,api/$$*) bash $$<
$$(RESULTS)/$1/hf/%.count: tests/hf/%.py $$(GWEN)
	$$(call run,$1,exit,hf/$$*) bash tests/hf/run.sh $$<
$$(RESULTS)/$1/topo/%.count: tests/topo/%.sh $$(GWEN)
	$$(call run,$1,exit,topo/$$*) bash $$<
endef
LEVELS_x86 := ref avx2 avx512 avx512bf16
LEVELS_arm := ref neon neonfp16 neonbf16
$(foreach l,native $(LEVELS_$(ARCH)),$(eval $(call level_rules,$l)))

# Script tests by folder, without helpers that begin with an underscore and without run.sh.
scripts_of = $(filter-out $1/_% $1/run,$(patsubst tests/%.sh,%,$(wildcard tests/$1/*.sh)))
# Small cases that come with the project, and the larger folder where it is there.
GOLDEN_RUNS := $(if $(GOLDEN_RUNNER),$(if $(wildcard tests/fixtures/golden),golden/own) golden/shared)
CLI_TESTS := $(if $(GWEN),$(call scripts_of,cli))
NATIVE_RUNS := $(call scripts_of,structure) $(UNIT:%=unit/%) $(if $(CHECKASM),simd/checkasm) \
  $(REPLAY:%=fuzz/%) $(call scripts_of,api) $(GOLDEN_RUNS) $(CLI_TESTS) \
  $(if $(GWEN),$(call scripts_of,topo) $(patsubst tests/%.py,%,$(wildcard tests/hf/check_*.py)))
# What depends on kernels, for the lower levels; scripts that say "# level: any" do not.
CLI_ISA := $(if $(CLI_TESTS),$(patsubst tests/%.sh,%,$(shell \
  grep -L '^\# level: any' $(CLI_TESTS:%=tests/%.sh))))
# (checkasm goes through all levels by itself.)
LOWER_RUNS := $(UNIT_ISA:%=unit/%) $(GOLDEN_RUNS) $(CLI_ISA)
counts = $(patsubst %,$(RESULTS)/$1/%.count,$(filter $(TESTS),$2))

.PHONY: check check-build check-run check-golden asan tsan fuzz simd-check simd-check-build
## make check          all tests, at every instruction-set level; TESTS='unit/%' chooses some,
##                     LEVELS=native leaves the lower levels out
check: check-build
	@rm -rf $(RESULTS) && mkdir -p $(RESULTS)
	@$(MAKE) GW_DEPS_CHECKED=1 check-run $(if $(filter all,$(LEVELS)),LOWER="$$($(ISA_TOOL) lower)")
	@scripts/summary.sh $(RESULTS)
check-build: all $(UNIT:%=$(BUILD)/tests/unit/%) $(CHECKASM) $(GOLDEN_RUNNER) $(ISA_TOOL) \
  $(REPLAY:%=$(BUILD)/tests/fuzz/%)
check-run: $(call counts,native,$(NATIVE_RUNS)) \
  $(foreach l,$(LOWER),$(call counts,$l,$(LOWER_RUNS)))

## make check-golden   GOLDEN=DIR: every golden test over that folder (../shared/data/golden)
check-golden: all $(GOLDEN_RUNNER)
	@$(GOLDEN_RUNNER) $(GOLDEN)

## make check-hf       what is saved, in transformers, PEFT, safetensors and TensorBoard: by
##                     GWEN_PYTHON, else in an environment of its own, BUILD/hf-venv
HF_VENV := $(abspath $(BUILD))/hf-venv
HF_PACKAGES := torch transformers peft safetensors tensorboard
.PHONY: check-hf
$(HF_VENV)/.done:
	python3 -m venv $(HF_VENV)
	$(HF_VENV)/bin/pip install -q --retries 1 --timeout 15 \
	  --index-url https://download.pytorch.org/whl/cpu torch || \
	  echo 'check-hf: no torch for CPUs alone to be had, taking the one with CUDA'
	$(HF_VENV)/bin/pip install -q $(HF_PACKAGES)
	@touch $@
check-hf: $(if $(GWEN_PYTHON),,$(HF_VENV)/.done)
	@GWEN_PYTHON='$(or $(GWEN_PYTHON),$(HF_VENV)/bin/python)' $(MAKE) TESTS='hf/% unit/service/record/test_metrics' \
	  LEVELS=native check

## make faults         each command once for every allocation and call of the system that can fail;
##                     EVERY=10 takes one in ten
.PHONY: faults
faults: all
	@GWEN='$(GWEN)' CC='$(CC)' bash tests/faults/run.sh $(or $(EVERY),1)

## make asan           all tests with the address and undefined-behaviour sanitizers
asan:
	@$(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined check

## make tsan           the threaded tests with the thread sanitizer
TSAN_TESTS ?= $(patsubst tests/unit/%.c,unit/%,$(shell grep -l 'gw_pool_create' /dev/null \
  $(UNIT:%=tests/unit/%.c)))
tsan:
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread POOL=pthreads TESTS='$(TSAN_TESTS)' check

## make fuzz           each parser's fuzzer for FUZZ_SECONDS=60, with clang
ifneq ($(FUZZING),)
.PHONY: fuzz-run $(FUZZ:%=fuzz-run-%)
fuzz-run: $(FUZZ:%=fuzz-run-%)
$(FUZZ:%=fuzz-run-%): fuzz-run-%: $(BUILD)/tests/fuzz/%
	@mkdir -p $(BUILD)/corpus/$*
	$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	  -artifact_prefix=$(BUILD)/$*- $(BUILD)/corpus/$* $(wildcard tests/fuzz/corpus/$(*:fuzz_%=%))
endif
fuzz:
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=clang POOL=pthreads SANITIZE=fuzzer-no-link,address,undefined \
	  CFLAGS='-O1 -g' FUZZING=1 fuzz-run

## make simd-check     CROSS=aarch64-linux-gnu-: the kernels alone, static, run by QEMU if foreign
simd-check-build: $(CHECKASM)
simd-check:
	@$(MAKE) BUILD=$(BUILD)/simd-$(or $(CROSS:%-=%),native) CC=$(CROSS)gcc AR=$(CROSS)ar \
	  LDFLAGS=-static GW_DEPS_CHECKED=1 simd-check-build
	@CROSS='$(CROSS)' QEMU='$(QEMU)' \
	  scripts/simd-check.sh $(BUILD)/simd-$(or $(CROSS:%-=%),native)/tests/checkasm
