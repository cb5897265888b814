/*
 * A complete engine for ringfence in C: it decodes and executes NOP, UD2, ADD of
 * two registers, and MOV between AL or EAX and [RCX], in 64-bit mode. Put your
 * emulator where decode() and step() are.
 *
 *   cc -O2 -o engine engine.c
 *   ringfence engines --check 'exec:./engine'
 *   ringfence fuzz --subject 'exec:./engine' --reference silicon
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ringfence_engine.h"

/* ---- the emulator ---------------------------------------------------------- */

enum outcome { OKAY, EXCEPTION, NOT_BUILT };

/* rax to r15 in the order of their encoding, then what else the schema has. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, RIP = 16, RFLAGS, ES, CS, SS, DS, FS, GS, FSBASE, GSBASE, REGISTERS };
static const char *const names[REGISTERS] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "rip", "rflags", "es", "cs", "ss", "ds", "fs", "gs", "fsbase", "gsbase",
};

#define MAX_PAGES 256
struct page {
    uint64_t address;
    int writable, executable, user;
    uint8_t bytes[4096], before[4096];
};

struct machine {
    uint64_t r[REGISTERS];
    struct page *page[MAX_PAGES];
    int pages;
    /* of an exception */
    int vector, has_error;
    uint32_t error;
    uint64_t address;
};

struct instruction {
    int length; /* 0: invalid */
    const char *mnemonic, *text;
    const char *operands; /* as JSON */
    const char *reason;
};

/* Decodes the first instruction of code. */
static struct instruction decode(const uint8_t *code, int n)
{
    static const struct {
        int n;
        uint8_t code[3];
        struct instruction in;
    } table[] = {
        { 1, { 0x90 }, { 1, "NOP", "nop", "[]", 0 } },
        { 2, { 0x0f, 0x0b }, { 2, "UD2", "ud2", "[]", 0 } },
        { 3, { 0x48, 0x01, 0xd8 }, { 3, "ADD", "add rax, rbx", "[\"reg rax\",\"reg rbx\"]", 0 } },
        { 2, { 0x88, 0x01 }, { 2, "MOV", "mov byte ptr [rcx], al", "[\"mem8 ds:[rcx] a64\",\"reg al\"]", 0 } },
        { 2, { 0x8b, 0x01 }, { 2, "MOV", "mov eax, dword ptr [rcx]", "[\"reg eax\",\"mem32 ds:[rcx] a64\"]", 0 } },
    };
    struct instruction none = { 0 };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int k = n < table[i].n ? n : table[i].n;
        if (memcmp(code, table[i].code, (size_t)k))
            continue;
        if (k == table[i].n)
            return table[i].in;
        none.reason = "truncated";
        return none;
    }
    return none; /* no reason: not in the table of this engine */
}

static uint8_t *byte_at(struct machine *m, uint64_t address, struct page **page)
{
    for (int i = 0; i < m->pages; i++)
        if (address - m->page[i]->address < 4096) {
            *page = m->page[i];
            return &m->page[i]->bytes[address & 4095];
        }
    return NULL;
}

static enum outcome fault(struct machine *m, int vector, int has_error, uint32_t error, uint64_t address)
{
    m->vector = vector;
    m->has_error = has_error;
    m->error = error;
    m->address = address;
    return EXCEPTION;
}

/* Checks access to n bytes: bit 1 of kind is a write, bit 4 a fetch, as in the
 * error code of #PF. */
static enum outcome check(struct machine *m, uint64_t address, int n, uint32_t kind)
{
    for (int i = 0; i < n; i++) {
        struct page *page;
        if ((uint64_t)((int64_t)(address + i) << 16 >> 16) != address + i)
            return fault(m, 13, 1, 0, 0); /* not canonical */
        if (!byte_at(m, address + i, &page))
            return fault(m, 14, 1, kind | 4, address + i);
        if (!page->user || (kind & 2 && !page->writable) || (kind & 16 && !page->executable))
            return fault(m, 14, 1, kind | 4 | 1, address + i);
    }
    return OKAY;
}

static void add_flags(struct machine *m, uint64_t a, uint64_t b, uint64_t sum)
{
    uint64_t f = m->r[RFLAGS] & ~0x8d5ull, p = sum;
    p ^= p >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    f |= sum < a;                                   /* CF */
    f |= (~p & 1) << 2;                             /* PF */
    f |= (a ^ b ^ sum) & 0x10;                      /* AF */
    f |= (uint64_t)!sum << 6;                       /* ZF */
    f |= sum >> 63 << 7;                            /* SF */
    f |= ((a ^ sum) & (b ^ sum)) >> 63 << 11;       /* OF */
    m->r[RFLAGS] = f;
}

/* Runs one instruction. A fault leaves everything as it was. */
static enum outcome step(struct machine *m)
{
    uint8_t code[15];
    int n = 0;
    enum outcome out = OKAY;
    for (; n < 15 && (out = check(m, m->r[RIP] + n, 1, 16)) == OKAY; n++) {
        struct page *page;
        code[n] = *byte_at(m, m->r[RIP] + n, &page);
    }
    struct instruction in = decode(code, n);
    if (!in.length)
        return in.reason && n < 15 ? out : NOT_BUILT;
    if (!strcmp(in.mnemonic, "UD2"))
        return fault(m, 6, 0, 0, 0);
    if (!strcmp(in.mnemonic, "ADD")) {
        uint64_t a = m->r[RAX], b = m->r[RBX];
        m->r[RAX] = a + b;
        add_flags(m, a, b, a + b);
    } else if (code[0] == 0x88) {
        struct page *page;
        if ((out = check(m, m->r[RCX], 1, 2)) != OKAY)
            return out;
        *byte_at(m, m->r[RCX], &page) = (uint8_t)m->r[RAX];
    } else if (code[0] == 0x8b) {
        uint32_t v = 0;
        struct page *page;
        if ((out = check(m, m->r[RCX], 4, 0)) != OKAY)
            return out;
        for (int i = 0; i < 4; i++)
            v |= (uint32_t)*byte_at(m, m->r[RCX] + i, &page) << 8 * i;
        m->r[RAX] = v;
    }
    m->r[RIP] += (uint64_t)in.length;
    return OKAY;
}

/* ---- the protocol ----------------------------------------------------------- */

static void answer_decode(const char *item, struct rf_text *t)
{
    uint8_t code[16];
    long n = -1;
    int known = 0;
    const char *it = NULL, *key, *v;
    while ((v = rf_next(item, &it, &key))) {
        if (rf_is(key, "code"))
            n = rf_bytes(v, code, sizeof code);
        else if (rf_is(key, "mode"))
            known = rf_text_is(v, "long64") || rf_text_is(v, "64");
    }
    if (n < 0) {
        rf_printf(t, "{\"error\":\"code: want hex digits in pairs\"}");
        return;
    }
    if (!known) {
        rf_printf(t, "{\"valid\":null,\"reason\":\"mode\"}");
        return;
    }
    struct instruction in = decode(code, n > 15 ? 15 : (int)n);
    if (in.length)
        rf_printf(t, "{\"valid\":true,\"length\":%d,\"mnemonic\":\"%s\",\"operands\":%s,\"text\":\"%s\"}", in.length, in.mnemonic, in.operands, in.text);
    else if (in.reason)
        rf_printf(t, "{\"valid\":false,\"reason\":\"%s\"}", in.reason);
    else
        rf_printf(t, "{\"valid\":null,\"reason\":\"not in the example's table\"}");
}

static struct page *map(struct machine *m, uint64_t address)
{
    struct page *page;
    if (byte_at(m, address, &page))
        return page;
    if (m->pages == MAX_PAGES)
        return NULL;
    page = calloc(1, sizeof *page);
    if (!page)
        abort();
    page->address = address & ~4095ull;
    return m->page[m->pages++] = page;
}

/* Reads a memory entry. Returns what is wrong with it, NULL for nothing. */
static const char *read_memory(const char *entry, struct machine *m)
{
    static uint8_t bytes[1 << 20];
    uint64_t address = 0;
    long n = 0, length = 0;
    const char *access = "\"rwu\"", *it = NULL, *key, *v;
    while ((v = rf_next(entry, &it, &key))) {
        if (rf_is(key, "address")) {
            if (!rf_hex(v, &address))
                return "memory.address";
        } else if (rf_is(key, "bytes")) {
            if ((n = rf_bytes(v, bytes, sizeof bytes)) <= 0)
                return "memory.bytes";
        } else if (rf_is(key, "length"))
            length = strtol(v, NULL, 10);
        else if (rf_is(key, "access"))
            access = v;
        else
            return "memory";
    }
    if (n == 0)
        return "memory.bytes";
    for (long i = 0; i < (length > n ? length : n); i++) {
        struct page *page = map(m, address + i);
        if (!page)
            return "memory";
        for (const char *a = access + 1; *a != '"'; a++) {
            page->writable |= *a == 'w';
            page->executable |= *a == 'x';
            page->user |= *a == 'u';
        }
        page->bytes[(address + i) & 4095] = bytes[i % n];
    }
    return NULL;
}

/* Reads a case. Returns the field that this engine cannot express, or NULL; *bad
 * tells that the case itself is wrong. */
static const char *read_case(const char *kase, struct machine *m, int *bad)
{
    uint8_t code[16];
    long n = 0;
    const char *it = NULL, *key, *v, *field;
    m->r[RIP] = 0x10000000;
    m->r[RSP] = 0x30001000;
    m->r[RFLAGS] = 0x202;
    m->r[CS] = 0x33;
    m->r[SS] = 0x2b;
    while ((v = rf_next(kase, &it, &key))) {
        const char *it2 = NULL, *name, *w;
        if (rf_is(key, "code")) {
            if ((n = rf_bytes(v, code, sizeof code)) < 0 || n > 15)
                return *bad = 1, "code";
        } else if (rf_is(key, "registers")) {
            while ((w = rf_next(v, &it2, &name))) {
                int i = 0;
                while (i < REGISTERS && !rf_is(name, names[i]))
                    i++;
                /* x87 and vector registers: nothing here touches them */
                if (i < REGISTERS && !rf_hex(w, &m->r[i]))
                    return *bad = 1, "registers";
                if (i == REGISTERS && (rf_is(name, "cr0") || rf_is(name, "cr3") || rf_is(name, "cr4") || rf_is(name, "efer")))
                    return "registers";
            }
        } else if (rf_is(key, "memory")) {
            while ((w = rf_next(v, &it2, NULL)))
                if ((field = read_memory(w, m)))
                    return *bad = 1, field;
        } else if (rf_is(key, "mode")) {
            if (!rf_text_is(v, "long64"))
                return "mode";
        } else if (rf_is(key, "cpl")) {
            if (*v != '3')
                return "cpl";
        } else if (rf_is(key, "steps")) {
            if (strtol(v, NULL, 10) != 1)
                return "steps";
        } else if (rf_is(key, "schema")) {
            if (*v != '1')
                return *bad = 1, "schema";
        } else {
            static const char *const others[] = {
                "profile", "vendor", "features", "segments", "ldt", "gdtr", "idtr", "msrs", "cpuid", "shadow", "nmi_blocked", "fill", "paging",
                "ports", "hooks", "race", "options", "until", "stop",
            };
            for (size_t i = 0; i < sizeof others / sizeof *others; i++)
                if (rf_is(key, others[i]))
                    return others[i];
            return *bad = 1, "a key that this engine does not know";
        }
    }
    /* The code stands over what the memory says; its pages are mapped for it
     * where no entry is executable. */
    int executable = 0;
    for (int i = 0; i < m->pages; i++)
        executable |= m->page[i]->executable;
    for (long i = 0; i < n; i++) {
        struct page *page = executable ? NULL : map(m, m->r[RIP] + i);
        if (page)
            page->executable = page->user = 1;
        uint8_t *b = byte_at(m, m->r[RIP] + i, &page);
        if (b)
            *b = code[i];
    }
    for (int i = 0; i < m->pages; i++)
        memcpy(m->page[i]->before, m->page[i]->bytes, 4096);
    return NULL;
}

/* Answers with the state after a run: all registers, and the memory that has
 * changed. */
static void answer_state(struct machine *m, enum outcome out, struct rf_text *t)
{
    const char *comma = "";
    if (out == NOT_BUILT) { /* "unimplemented" would say that it ought to be there */
        rf_printf(t, "{\"outcome\":\"unsupported\",\"field\":\"code\",\"reason\":\"five instructions are built\"}");
        return;
    }
    rf_printf(t, "{\"outcome\":\"%s\",\"steps\":%d", out == OKAY ? "okay" : "exception", out == OKAY);
    if (out == EXCEPTION) {
        rf_printf(t, ",\"event\":{\"type\":\"fault\",\"vector\":%d", m->vector);
        if (m->has_error)
            rf_printf(t, ",\"error_code\":%u", (unsigned)m->error);
        if (m->vector == 14)
            rf_printf(t, ",\"address\":\"0x%llx\"", (unsigned long long)m->address);
        rf_printf(t, "}");
    }
    rf_printf(t, ",\"registers\":{");
    for (int i = 0; i < REGISTERS; i++)
        rf_printf(t, "%s\"%s\":\"0x%llx\"", i ? "," : "", names[i], (unsigned long long)m->r[i]);
    rf_printf(t, "},\"memory\":[");
    for (int i = 0; i < m->pages; i++)
        for (int k = 0; k < 4096; k++)
            if (m->page[i]->bytes[k] != m->page[i]->before[k]) {
                rf_printf(t, "%s{\"address\":\"0x%llx\",\"bytes\":\"%02x\"}", comma, (unsigned long long)m->page[i]->address + k, m->page[i]->bytes[k]);
                comma = ",";
            }
    rf_printf(t, "]}");
}

static void answer_execute(const char *kase, struct rf_text *t)
{
    struct machine m = { 0 };
    int bad = 0;
    const char *field = read_case(kase, &m, &bad);
    if (bad)
        rf_printf(t, "{\"error\":\"%s\"}", field);
    else if (field)
        rf_printf(t, "{\"outcome\":\"unsupported\",\"field\":\"%s\"}", field);
    else
        answer_state(&m, step(&m), t);
    for (int i = 0; i < m.pages; i++)
        free(m.page[i]);
}

/* Answers one request: a frame for each item, so that a crash tells the item. */
static void answer(const char *request, struct rf_text *t)
{
    unsigned long long id = 0;
    const char *it = NULL, *key, *v, *list = NULL, *item;
    int hello = 0, execute = 0, bad = !rf_valid(request) || *rf_space(request) != '{';
    if (!bad) {
        request = rf_space(request);
        while ((v = rf_next(request, &it, &key))) {
            if (rf_is(key, "id"))
                id = strtoull(v, NULL, 10);
            else if (rf_is(key, "hello"))
                hello = 1;
            else if ((rf_is(key, "decode") || rf_is(key, "execute")) && *v == '[') {
                list = v;
                execute = rf_is(key, "execute");
            } else
                bad = 1;
        }
    }
    t->n = 0;
    if (bad || (!hello && !list)) {
        rf_printf(t, "{\"id\":%llu,\"error\":\"want one of hello, decode and execute\"}", id);
        rf_write_frame(t);
        return;
    }
    if (hello) {
        rf_printf(t, "{\"hello\":{\"protocol\":%d,\"name\":\"example\",\"version\":\"1\",\"modes\":[\"long64\"],\"decode\":true,\"execute\":true,"
                     "\"unknown\":[\"accesses\",\"retire\",\"fpu\"],\"about\":\"five instructions, as an example of an engine in C\"}}", RF_PROTOCOL);
        rf_write_frame(t);
        return;
    }
    for (it = NULL; (item = rf_next(list, &it, NULL));) {
        t->n = 0;
        rf_printf(t, "{\"id\":%llu,\"answers\":[", id);
        if (*item != '{')
            rf_printf(t, "{\"error\":\"want an object\"}");
        else if (execute)
            answer_execute(item, t);
        else
            answer_decode(item, t);
        rf_printf(t, "]}");
        rf_write_frame(t);
    }
}

int main(void)
{
    struct rf_text in = { 0 }, out = { 0 };
    while (rf_read_frame(&in))
        answer(in.p, &out);
    return 0;
}
