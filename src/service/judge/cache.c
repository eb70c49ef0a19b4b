/* cache.c - see cache.h.
 *
 * One table: the key as 16 bytes, the verdict, a checksum of both, and a serial number that says
 * which was first.
 * Every verdict is a transaction of its own; in write-ahead mode that is one write of the log and
 * no sync, so what a killed process had written is there, and only a crash of the whole machine can
 * lose the last ones. */
#include "service/judge/cache.h"

#include "base/rng.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum {
    APPLICATION_ID = 0x6777656e, /* "gwen" */
    VERSION = 1,
    ROW_BYTES = 96, /* what a verdict takes in table and index, as measured, rounded up */
    MIN_ROWS = 64,
    BUSY_MS = 10000
};

struct gw_judge_cache {
    sqlite3 *db;
    sqlite3_stmt *get, *put, *drop;
    char *path;
    uint64_t max_rows, n_rows; /* 0: no limit; n_rows as of opening, and those put since */
};

static enum gwen_status fail(const struct gw_judge_cache *c, struct gwen_err *err) {
    int code = sqlite3_errcode(c->db);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: no cache of verdicts, or damaged (%s): remove it or name another",
                       c->path, sqlite3_errmsg(c->db));
    return gw_fail(err, GWEN_ERR_IO, "%s: %s", c->path, sqlite3_errmsg(c->db));
}

static enum gwen_status run(struct gw_judge_cache *c, const char *sql, struct gwen_err *err) {
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? GWEN_OK : fail(c, err);
}

/* The first column of the first row. */
static enum gwen_status number(struct gw_judge_cache *c, const char *sql, int64_t *out,
                               struct gwen_err *err) {
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK) return fail(c, err);
    enum gwen_status status = sqlite3_step(s) == SQLITE_ROW ? GWEN_OK : fail(c, err);
    *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return status;
}

static enum gwen_status prepare(struct gw_judge_cache *c, const char *sql, sqlite3_stmt **out,
                                struct gwen_err *err) {
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK)
        return GWEN_OK;
    return fail(c, err);
}

/* A database of ours, a new one, or something else. */
static enum gwen_status check_kind(struct gw_judge_cache *c, struct gwen_err *err) {
    int64_t id, version, tables;
    GW_TRY(number(c, "PRAGMA application_id", &id, err));
    GW_TRY(number(c, "PRAGMA user_version", &version, err));
    GW_TRY(number(c, "SELECT count(*) FROM sqlite_master", &tables, err));
    if ((id == APPLICATION_ID && version == VERSION) || (id == 0 && tables == 0)) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_FORMAT, "%s: no cache of verdicts, or one of another version",
                   c->path);
}

/* The column is newer than the table. */
static enum gwen_status add_sums(struct gw_judge_cache *c, struct gwen_err *err) {
    int64_t there;
    GW_TRY(number(c, "SELECT count(*) FROM pragma_table_info('verdicts') WHERE name = 'sum'",
                  &there, err));
    return there > 0 ? GWEN_OK : run(c, "ALTER TABLE verdicts ADD COLUMN sum INTEGER", err);
}

static int64_t sum_of(struct gw_judge_key key, struct gw_judge_known verdict) {
    uint64_t parts[4] = {key.word[0], key.word[1], 0, verdict.parsed};
    memcpy(&parts[2], &verdict.grade, sizeof verdict.grade);
    return (int64_t)gw_hash64(parts, sizeof parts);
}

static enum gwen_status set_up(struct gw_judge_cache *c, struct gwen_err *err) {
    char sql[200];
    int64_t rows;
    sqlite3_busy_timeout(c->db, BUSY_MS);
    GW_TRY(check_kind(c, err));
    GW_TRY(run(c, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", err));
    sqlite3_snprintf(sizeof sql, sql,
                     "BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d;",
                     APPLICATION_ID, VERSION);
    GW_TRY(run(c, sql, err));
    GW_TRY(run(c,
               "CREATE TABLE IF NOT EXISTS verdicts (serial INTEGER PRIMARY KEY, key BLOB NOT NULL "
               "UNIQUE, grade REAL NOT NULL, parsed INTEGER NOT NULL, sum INTEGER); COMMIT",
               err));
    GW_TRY(add_sums(c, err));
    GW_TRY(number(c, "SELECT count(*) FROM verdicts", &rows, err));
    c->n_rows = (uint64_t)rows;
    GW_TRY(prepare(c, "SELECT grade, parsed, sum FROM verdicts WHERE key = ?", &c->get, err));
    GW_TRY(prepare(c,
                   "INSERT OR REPLACE INTO verdicts (key, grade, parsed, sum) VALUES (?, ?, ?, ?)",
                   &c->put, err));
    return prepare(c,
                   "DELETE FROM verdicts WHERE serial IN (SELECT serial FROM verdicts ORDER BY "
                   "serial LIMIT ?)",
                   &c->drop, err);
}

enum gwen_status gw_judge_cache_open(const char *path, uint64_t max_bytes,
                                     struct gw_judge_cache **out, struct gwen_err *err) {
    *out = NULL;
    struct gw_judge_cache *c = calloc(1, sizeof *c);
    if (c == NULL || (c->path = strdup(path)) == NULL) {
        free(c);
        return gw_nomem(err, sizeof *c, "the cache of verdicts");
    }
    if (max_bytes > 0) c->max_rows = GW_MAX(max_bytes / ROW_BYTES, (uint64_t)MIN_ROWS);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    enum gwen_status status =
        sqlite3_open_v2(path, &c->db, flags, NULL) == SQLITE_OK ? set_up(c, err) : fail(c, err);
    if (status != GWEN_OK) {
        gw_judge_cache_close(c);
        return status;
    }
    *out = c;
    return GWEN_OK;
}

void gw_judge_cache_close(struct gw_judge_cache *c) {
    if (c == NULL) return;
    sqlite3_finalize(c->get);
    sqlite3_finalize(c->put);
    sqlite3_finalize(c->drop);
    sqlite3_close(c->db);
    free(c->path);
    free(c);
}

/* Whether the row that `get` stands at is what was put there.  Of rows from before there were
 * checksums it is only known what no grade can be. */
static bool is_sound(const struct gw_judge_cache *c, struct gw_judge_key key,
                     struct gw_judge_known verdict) {
    if (sqlite3_column_type(c->get, 2) == SQLITE_NULL)
        return isfinite(verdict.grade) && verdict.grade >= 1 && verdict.grade <= 5;
    return sqlite3_column_int64(c->get, 2) == sum_of(key, verdict);
}

enum gwen_status gw_judge_cache_get(struct gw_judge_cache *c, struct gw_judge_key key,
                                    struct gw_judge_known *out, bool *found, struct gwen_err *err) {
    enum gwen_status status = GWEN_OK;
    sqlite3_bind_blob(c->get, 1, key.word, sizeof key.word, SQLITE_STATIC);
    int code = sqlite3_step(c->get);
    *found = code == SQLITE_ROW;
    if (*found)
        *out = (struct gw_judge_known){(float)sqlite3_column_double(c->get, 0),
                                       sqlite3_column_int(c->get, 1) != 0};
    else if (code != SQLITE_DONE)
        status = fail(c, err);
    if (*found) *found = is_sound(c, key, *out);
    sqlite3_reset(c->get);
    return status;
}

/* An eighth is dropped at once, so that this is rare. */
static enum gwen_status make_room(struct gw_judge_cache *c, struct gwen_err *err) {
    if (c->max_rows == 0 || c->n_rows < c->max_rows) return GWEN_OK;
    sqlite3_bind_int64(c->drop, 1, (int64_t)(c->n_rows - c->max_rows + c->max_rows / 8));
    enum gwen_status status = sqlite3_step(c->drop) == SQLITE_DONE ? GWEN_OK : fail(c, err);
    if (status == GWEN_OK) c->n_rows -= GW_MIN(c->n_rows, (uint64_t)sqlite3_changes(c->db));
    sqlite3_reset(c->drop);
    return status;
}

enum gwen_status gw_judge_cache_put(struct gw_judge_cache *c, struct gw_judge_key key,
                                    struct gw_judge_known verdict, struct gwen_err *err) {
    GW_TRY(make_room(c, err));
    sqlite3_bind_blob(c->put, 1, key.word, sizeof key.word, SQLITE_STATIC);
    sqlite3_bind_double(c->put, 2, (double)verdict.grade);
    sqlite3_bind_int(c->put, 3, verdict.parsed);
    sqlite3_bind_int64(c->put, 4, sum_of(key, verdict));
    enum gwen_status status = sqlite3_step(c->put) == SQLITE_DONE ? GWEN_OK : fail(c, err);
    c->n_rows += status == GWEN_OK;
    sqlite3_reset(c->put);
    return status;
}
