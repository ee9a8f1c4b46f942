/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules area of a region as the core reads it: the kill switch, and the compiled rules in force. Hostile input:
 * whoever may write the file may write there at any time, so every offset is checked where it is used and every search
 * has a bound. No allocation, no lock; a system call only to give a set's pages memory, once per generation.
 *
 * The off word and the generation lie side by side: one load and one compare per call say that neither has changed
 * since this process looked (tb_rules_are_seen).
 */
#ifndef TB_RULES_H
#define TB_RULES_H

#include "core.h"

typedef uint64_t __attribute__((may_alias)) tb_rules_word;
_Static_assert(offsetof(struct tb_rules_head, off) == 0 && offsetof(struct tb_rules_head, generation) == 4, "one word");

/* tb_rules_is_off - the kill switch: true = the agent does nothing. One load of the region. Context: any. */
static inline bool tb_rules_is_off(const struct tb_core *core)
{
    const struct tb_rules_head *rules = core->rules;
    return rules && tb_load_relaxed(&rules->off) != 0;
}

/* tb_rules_are_seen - switched on, and the rules are those that this process knows. Needs a region. */
static inline bool tb_rules_are_seen(const struct tb_core *core)
{
    const tb_rules_word *word = (const tb_rules_word *)(const void *)core->rules;
    return tb_load_relaxed(word) == tb_load_relaxed(&core->rules_word);
}

/*
 * tb_rules_adopt - the rules changed: validate the new set and use it from now on. A set that contradicts itself is
 * counted and the one before stays. Only one thread of a process works; the others go on with what they know.
 * Context: any thread, signal handlers.
 */
void tb_rules_adopt(struct tb_core *core);

/* What the rules say about a request. */
enum tb_rules_verdict {
    TB_RULES_SAY_NOTHING, /* the route is inferred */
    TB_RULES_SAY_PATH,    /* the normalised path is the route */
    TB_RULES_SAY_NODE,    /* the route is this node of the learner */
    TB_RULES_SAY_DROP     /* not to be counted */
};
struct tb_rules_answer {
    enum tb_rules_verdict verdict;
    uint32_t node;
    bool is_for_all; /* the answer does not depend on method or host */
};

/*
 * tb_rules_ask - what the rules in force say. @host is lower case without port, empty when there is none. Call only
 * when core->rules_view is set. A search of the set's tree: some hundred instructions for each segment, hardly more
 * with hundreds of patterns (tests/bench/route_cost.c); the first use of an entry makes its node.
 */
struct tb_rules_answer tb_rules_ask(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path,
                                    bool is_cut);

/*
 * tb_rules_are_whole - what has been read of @view's set until now was written as a whole: its buffer is not being
 * filled anew. One that is in use may be, after a set that was refused. Two loads. Context: any.
 */
bool tb_rules_are_whole(const struct tb_core *core, const struct tb_rules_view *view);

/* tb_rules_match - the entry of @view that @path (normalised here) matches. For tb_rules_ask, and tests. */
struct tb_rules_match {
    uint32_t entry;
    struct tb_rules_entry is;
    uint32_t params; /* bit per segment: it is a parameter */
    uint32_t depth;  /* segments before a wildcard */
    bool is_wild;
    bool is_conditional; /* an entry that asks for a method or a host was looked at */
};
struct tb_rules_path {
    struct tb_bytes segments[TB_RULES_DEPTH_MAX + 1];
    uint32_t count;
    bool has_rest; /* there is more */
    uint8_t kept[256];
};
bool tb_rules_match(const struct tb_core *core, const struct tb_rules_view *view, uint8_t method, struct tb_bytes host,
                    const struct tb_rules_path *path, struct tb_rules_match *ret);

/* tb_rules_cut - normalise as route_path.h does and cut into segments; without a copy when nothing is to be done. */
void tb_rules_cut(struct tb_bytes path, bool is_cut, struct tb_rules_path *ret);

/* tb_rules_path_label - the whole normalised path as a label: printable ASCII, the rest percent-encoded; what is too
 * long or too deep becomes :rest. @ret has TB_RULES_LABEL_MAX bytes. Returns the length. */
size_t tb_rules_path_label(const struct tb_rules_path *path, char *ret);

/*
 * tb_rules_read - what @view says about the set of @len bytes at @at in the rules section, with @base the section.
 * False: it contradicts itself. Pure but for loads from the section.
 */
bool tb_rules_read(const uint8_t *section, uint32_t at, uint32_t len, struct tb_rules_view *ret);

/* Elements of a set; a number out of range gives zeroes. */
struct tb_rules_node tb_rules_node(const uint8_t *section, const struct tb_rules_view *v, uint32_t number);
struct tb_rules_edge tb_rules_edge(const uint8_t *section, const struct tb_rules_view *v, uint32_t number);
struct tb_rules_entry tb_rules_entry(const uint8_t *section, const struct tb_rules_view *v, uint32_t number);
struct tb_rules_bounds tb_rules_bounds(const uint8_t *section, const struct tb_rules_view *v, uint32_t number);
struct tb_rules_target tb_rules_target(const uint8_t *section, const struct tb_rules_view *v, uint32_t number);
uint32_t tb_rules_limit(const uint8_t *section, const struct tb_rules_view *v, enum tb_rules_limit which);
uint64_t tb_rules_at_most(const uint8_t *section, const struct tb_rules_view *v, uint32_t number);
struct tb_bytes tb_rules_text(const uint8_t *section, const struct tb_rules_view *v, uint32_t offset);

/* tb_glob - does @text match @glob? '*' stands for any number of bytes, '?' for one. Bounded: product of the lengths.
 */
bool tb_glob(struct tb_bytes glob, struct tb_bytes text);

/* tb_glob_within - the same, false after *@steps steps, which are taken off: for many globs that nobody has checked. */
#define TB_RULES_GLOB_STEPS (1u << 18) /* for one request: less than a millisecond */
bool tb_glob_within(struct tb_bytes glob, struct tb_bytes text, uint32_t *steps);

/*
 * tb_rules_load - before a region is given to anybody: put the rules for @service into its rules section. From the
 * bundle @path when it is set, else from the one in the directory @dir (a descriptor). The file must belong to root or
 * @uid and be writable by nobody else. Returns false when there was a file that could not be used.
 */
bool tb_rules_load(const struct tb_core *core, uint8_t *base, const char *service, const char *path, int dir,
                   uint32_t uid);

#endif
