# Minimal while the tree takes shape.
CC ?= gcc
BUILD ?= build
CFLAGS ?= -O2 -g
GW_CFLAGS = -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -Isimd -ffp-contract=off -fno-math-errno -fvisibility=hidden -fPIC -fopenmp \
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
LIBS = -lcjson -ljansson -lpcre2-8 -lutf8proc -lhwloc -lnuma -lm -fopenmp
SRC := $(shell find src simd -name '*.c' -not -path 'src/cli/*')
OBJ := $(SRC:%.c=$(BUILD)/%.o)
all: $(BUILD)/libgwen.a
$(BUILD)/libgwen.a: $(OBJ)
	ar rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(GW_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
-include $(OBJ:.o=.d)
