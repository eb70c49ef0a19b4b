/* cgroup.c - CPU quota, memory limit and memory pressure of the control group this process is
 * in.
 *
 * /proc/self/cgroup names the group of each hierarchy, /proc/self/mountinfo says where each
 * hierarchy is mounted and which of its folders is the mount's root.  In a container the two may
 * not fit together (the group's name as the host sees it, the mount as the container does); the
 * mount's root, which then is the container's own group, is always read.  A limit of any
 * ancestor binds, so every folder from the group up to the mount's root is asked. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hw/limits.h"

/* "no limit" in version 1 is the largest multiple of a page; nobody has an exbibyte. */
static const uint64_t absurd_bytes = (uint64_t)1 << 60;

bool gw_hw_slurp(const char *root, const char *path, struct gw_str *out) {
    enum { MOST = 8 << 20, STEP = 4096 };
    gw_str_clear(out);
    struct gw_str name = {0};
    gw_str_puts(&name, root != NULL ? root : "");
    gw_str_puts(&name, path);
    FILE *f = name.failed ? NULL : fopen(name.data, "re");
    gw_str_free(&name);
    if (f == NULL) return false;
    /* These files have no size to ask for. */
    char buf[STEP];
    size_t n;
    while (out->len < MOST && (n = fread(buf, 1, sizeof buf, f)) > 0) gw_str_put(out, buf, n);
    bool ok = !ferror(f);
    fclose(f);
    gw_str_put(out, "", 0);
    return ok && !out->failed && out->data != NULL;
}

/* True when the comma-separated `list` has `word`. */
static bool list_has(const char *list, size_t len, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list, *end = list + len; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t item = (size_t)((comma != NULL ? comma : end) - p);
        if (item == n && memcmp(p, word, n) == 0) return true;
        p += item + 1;
    }
    return false;
}

/* A hierarchy's mount: its place in the file system and the group that lies there. */
struct mount {
    int version;               /* 0: not found */
    struct gw_str point, root; /* unescaped */
};

/* Field [p, end) of mountinfo, in which blanks and backslashes are \ooo; no path holds a NUL. */
static void put_unescaped(struct gw_str *out, const char *p, const char *end) {
    gw_str_clear(out);
    gw_str_put(out, "", 0); /* never NULL */
    while (p < end) {
        if (*p == '\\' && end - p >= 4 && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
            p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
            const char c = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
            if (c != '\0') gw_str_putc(out, c);
            p += 4;
        } else {
            gw_str_putc(out, *p++);
        }
    }
}

/* The version of the hierarchy that a line of mountinfo shows, if it carries `controller`. */
static int line_version(const char *fstype, size_t type_len, const char *options, size_t opt_len,
                        const char *controller) {
    if (type_len == 7 && memcmp(fstype, "cgroup2", 7) == 0) return 2;
    if (type_len == 6 && memcmp(fstype, "cgroup", 6) == 0 && list_has(options, opt_len, controller))
        return 1;
    return 0;
}

/* Splits at single blanks; the last field may be cut short.  Returns the number of fields. */
static size_t split(const char *line, const char *end, const char *at[], size_t most) {
    size_t n = 0;
    at[n++] = line;
    for (const char *p = line; p < end && n < most; p++)
        if (*p == ' ') at[n++] = p + 1;
    return n;
}

static size_t field_len(const char *p, const char *end) {
    const char *blank = memchr(p, ' ', (size_t)(end - p));
    return (size_t)((blank != NULL ? blank : end) - p);
}

/* A controller mounted in version 1 is not in version 2: the former wins. */
static void find_mount(const char *mountinfo, const char *controller, struct mount *m) {
    enum { ROOT = 3, POINT = 4, HEAD_FIELDS = 6, TYPE = 0, OPTIONS = 2, TAIL_FIELDS = 3 };
    for (const char *line = mountinfo; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *dash = memmem(line, (size_t)(end - line), " - ", 3);
        const char *head[HEAD_FIELDS], *tail[TAIL_FIELDS];
        if (dash != NULL && split(line, dash, head, HEAD_FIELDS) == HEAD_FIELDS &&
            split(dash + 3, end, tail, TAIL_FIELDS) == TAIL_FIELDS) {
            int v = line_version(tail[TYPE], field_len(tail[TYPE], end), tail[OPTIONS],
                                 field_len(tail[OPTIONS], end), controller);
            if (v != 0 && (m->version == 0 || (v == 1 && m->version == 2))) {
                m->version = v;
                put_unescaped(&m->root, head[ROOT], head[ROOT] + field_len(head[ROOT], dash));
                put_unescaped(&m->point, head[POINT], head[POINT] + field_len(head[POINT], dash));
            }
        }
        line = *end == '\0' ? end : end + 1;
    }
}

/* The group's path in the hierarchy of `controller`, from lines "id:controllers:path". */
static void find_group(const char *cgroups, const char *controller, int version,
                       struct gw_str *out) {
    gw_str_clear(out);
    for (const char *line = cgroups; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *c1 = memchr(line, ':', (size_t)(end - line));
        const char *c2 = c1 != NULL ? memchr(c1 + 1, ':', (size_t)(end - c1 - 1)) : NULL;
        if (c2 != NULL) {
            size_t n = (size_t)(c2 - c1 - 1);
            if (version == 2 ? n == 0 : list_has(c1 + 1, n, controller)) {
                gw_str_put(out, c2 + 1, (size_t)(end - c2 - 1));
                return;
            }
        }
        line = *end == '\0' ? end : end + 1;
    }
}

/* Reads folder/name into *text. */
static bool read_in(const char *root, const char *folder, const char *name, struct gw_str *text) {
    struct gw_str path = {0};
    gw_str_puts(&path, folder);
    gw_str_putc(&path, '/');
    gw_str_puts(&path, name);
    bool ok = !path.failed && gw_hw_slurp(root, path.data, text);
    gw_str_free(&path);
    return ok;
}

/* A file that holds one number; GW_UNLIMITED for "max", -1, nonsense or no file. */
static uint64_t read_number(const char *root, const char *folder, const char *name) {
    struct gw_str text = {0};
    uint64_t v = GW_UNLIMITED;
    if (read_in(root, folder, name, &text) && text.data[0] >= '0' && text.data[0] <= '9') {
        v = strtoull(text.data, NULL, 10);
        if (v >= absurd_bytes) v = GW_UNLIMITED;
    }
    gw_str_free(&text);
    return v;
}

/* The number after the line start "key " of memory.stat; false when it has no such line. */
static bool stat_value(const char *text, const char *key, uint64_t *out) {
    size_t n = strlen(key);
    for (const char *line = text; *line != '\0';) {
        if (strncmp(line, key, n) == 0 && line[n] == ' ') {
            *out = strtoull(line + n + 1, NULL, 10);
            return true;
        }
        const char *end = strchrnul(line, '\n');
        line = *end == '\0' ? end : end + 1;
    }
    return false;
}

/* Pages of files that nobody touched lately are dropped before anyone is killed. */
static uint64_t reclaimable(const char *root, const char *folder) {
    struct gw_str text = {0};
    uint64_t v = 0;
    if (read_in(root, folder, "memory.stat", &text)) {
        if (!stat_value(text.data, "total_inactive_file", &v)) /* version 1, with descendants */
            stat_value(text.data, "inactive_file", &v);
    }
    gw_str_free(&text);
    return v;
}

/* The number after "key " in a file of such lines, 0 when there is none. */
static uint64_t read_stat(const char *root, const char *folder, const char *name, const char *key) {
    struct gw_str text = {0};
    uint64_t v = 0;
    if (read_in(root, folder, name, &text)) stat_value(text.data, key, &v);
    gw_str_free(&text);
    return v;
}

bool gw_parse_stall(const char *text, struct gw_stall *out) {
    double percent;
    uint64_t us;
    const char *line = strncmp(text, "some ", 5) == 0 ? text : strstr(text, "\nsome ");
    if (line == NULL ||
        sscanf(line + (*line == '\n'), "some avg10=%lf avg60=%*f avg300=%*f total=%" SCNu64,
               &percent, &us) != 2)
        return false;
    *out = (struct gw_stall){percent, us};
    return true;
}

/* How often a limit was met, and time spent waiting.  memory.events counts what happened below a
 * group too: an ancestor's would tell of neighbours at limits of their own. */
static void pressure_of_folder(const char *root, const char *folder, int version, bool own,
                               struct gw_cgroup *out) {
    if (version == 1) {
        uint64_t n = read_number(root, folder, "memory.failcnt");
        if (n != GW_UNLIMITED) out->mem_hits += n;
        return;
    }
    const char *events = own ? "memory.events" : "memory.events.local";
    out->mem_hits += read_stat(root, folder, events, "high");
    out->mem_hits += read_stat(root, folder, events, "max");
    struct gw_str text = {0};
    if (own && read_in(root, folder, "memory.pressure", &text))
        out->has_stall = gw_parse_stall(text.data, &out->stall);
    gw_str_free(&text);
}

static void memory_of_folder(const char *root, const char *folder, int version, bool own,
                             struct gw_cgroup *out) {
    pressure_of_folder(root, folder, version, own, out);
    uint64_t limit, usage;
    if (version == 2) {
        uint64_t max = read_number(root, folder, "memory.max");
        uint64_t high = read_number(root, folder, "memory.high"); /* beyond it: throttled */
        limit = GW_MIN(max, high);
        usage = limit == GW_UNLIMITED ? 0 : read_number(root, folder, "memory.current");
    } else {
        limit = read_number(root, folder, "memory.limit_in_bytes");
        usage = limit == GW_UNLIMITED ? 0 : read_number(root, folder, "memory.usage_in_bytes");
    }
    if (limit == GW_UNLIMITED) return;
    if (usage == GW_UNLIMITED) usage = 0; /* no such file */
    uint64_t cache = reclaimable(root, folder);
    uint64_t held = usage > cache ? usage - cache : 0;
    uint64_t left = limit > held ? limit - held : 0;
    out->mem_limit = GW_MIN(out->mem_limit, limit);
    out->mem_left = GW_MIN(out->mem_left, left);
}

static void cpu_of_folder(const char *root, const char *folder, int version, bool own,
                          struct gw_cgroup *out) {
    (void)own;
    uint64_t quota = GW_UNLIMITED, period = 100000;
    if (version == 2) {
        struct gw_str text = {0};
        if (read_in(root, folder, "cpu.max", &text))
            if (sscanf(text.data, "%" SCNu64 " %" SCNu64, &quota, &period) < 1)
                quota = GW_UNLIMITED; /* "max" */
        gw_str_free(&text);
    } else {
        quota = read_number(root, folder, "cpu.cfs_quota_us");
        period = read_number(root, folder, "cpu.cfs_period_us");
    }
    if (quota == GW_UNLIMITED || quota == 0 || period == GW_UNLIMITED || period == 0) return;
    double cpus = (double)quota / (double)period;
    if (out->cpu_quota == 0 || cpus < out->cpu_quota) out->cpu_quota = cpus;
}

/* `own`: the folder is that of the process's group, not an ancestor's. */
typedef void folder_fn(const char *root, const char *folder, int version, bool own,
                       struct gw_cgroup *out);

/* Calls fn for the group's folder and each one above it, up to the mount's root. */
static void walk_up(const char *root, const struct mount *m, const char *group, folder_fn *fn,
                    struct gw_cgroup *out) {
    size_t skip = strcmp(m->root.data, "/") == 0 ? 0 : m->root.len;
    const char *rest = "";
    if (strncmp(group, m->root.data, skip) == 0 && (group[skip] == '/' || group[skip] == '\0'))
        rest = group + skip;
    if (strstr(rest, "/..") != NULL || strcmp(rest, "/") == 0) rest = "";
    struct gw_str folder = {0};
    gw_str_puts(&folder, m->point.data);
    gw_str_puts(&folder, rest);
    for (bool own = true; !folder.failed; own = false) {
        fn(root, folder.data, m->version, own, out);
        if (folder.len <= m->point.len) break;
        folder.len = (size_t)(strrchr(folder.data, '/') - folder.data);
        folder.data[folder.len] = '\0';
    }
    gw_str_free(&folder);
}

void gw_cgroup_read(const char *root, struct gw_cgroup *out) {
    static const struct {
        const char *name;
        folder_fn *fn;
    } controllers[] = {{"cpu", cpu_of_folder}, {"memory", memory_of_folder}};
    *out = (struct gw_cgroup){.mem_limit = GW_UNLIMITED, .mem_left = GW_UNLIMITED};
    struct gw_str mountinfo = {0}, cgroups = {0}, group = {0};
    if (gw_hw_slurp(root, "/proc/self/mountinfo", &mountinfo) &&
        gw_hw_slurp(root, "/proc/self/cgroup", &cgroups)) {
        for (size_t i = 0; i < GW_ARRAY_LEN(controllers); i++) {
            struct mount m = {0};
            find_mount(mountinfo.data, controllers[i].name, &m);
            find_group(cgroups.data, controllers[i].name, m.version, &group);
            gw_str_putc(&group, '\0');
            if (m.version != 0 && !group.failed && !m.root.failed && !m.point.failed)
                walk_up(root, &m, group.data, controllers[i].fn, out);
            gw_str_free(&m.root);
            gw_str_free(&m.point);
        }
    }
    gw_str_free(&mountinfo);
    gw_str_free(&cgroups);
    gw_str_free(&group);
}
