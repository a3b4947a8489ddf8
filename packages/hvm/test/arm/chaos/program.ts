/** Random programs of loads and stores of all forms, at pages that are a device's or RAM, with arithmetic between them. */
import { a64Forms, decodeLoadStoreA64, findA64, LoadStore, type Form } from '@retrap/arm-decoder'
import type { Rng } from '@retrap/tooling/soak'
import { withField } from '../forms/cases.ts'
import { CODE, PAGES } from '../forms/layout.ts'
import { FORMS } from '../traps/cases.ts'

/** Data goes through X1 to X15. X16 to X19 are bases, X20 is an index; X28 is where the pages begin, X27 counts rounds. */
const FIRST_BASE = 16
const BASES = 4
const INDEX = 20
const COUNTER = 27
const PAGES_BASE = 28
const RESERVED = new Set([0, ...Array.from({ length: 15 }, (_, i) => FIRST_BASE + i)])

const LENGTH = 40
const MOST_ROUNDS = 12

/** Where programs find the first page. */
export const FIRST_PAGE: number = PAGES[0]!.va

/** A store-exclusive fails after an interrupt, and a prefetch asks nobody. Keys are not set. */
const APART = /^(?:LD[A]?X|ST[L]?X|R?PRF|DC|IC|AT|LDRA[AB])/
const accesses: readonly Form[] = FORMS.filter(
  ({ mnemonic, fields }) => !APART.test(mnemonic) && fields.has('n') && (fields.has('t') || fields.has('s')),
)
const OPERATIONS =
  /^(?:add|add-carry|logical|move-wide|bitfield|extract|shift|reverse|count|multiply|divide|select|compare-conditional|flags|vector|copy|permute|float|float-compare|convert|move|scalar|element|across)$/
const plains: readonly Form[] = a64Forms().filter(
  ({ operation, feature }) => OPERATIONS.test(operation) && feature === '',
)

const insn = new LoadStore()

/** Draws a word of a form; undefined if it is another's. */
const wordOf = (form: Form, rng: Rng): number => ((rng.u32() & ~form.mask) | form.value) >>> 0

function access(rng: Rng): number {
  for (;;) {
    const form = rng.pick(accesses)
    let word = wordOf(form, rng)
    const base = FIRST_BASE + rng.below(BASES)
    word = withField(form, 'n', word, base)
    const first = 1 + rng.below(6)
    if (form.fields.has('t')) word = withField(form, 't', word, first)
    if (form.fields.has('u')) word = withField(form, 'u', word, first + 1)
    if (form.fields.has('s')) word = withField(form, 's', word, 8 + 2 * rng.below(3))
    if (form.fields.has('m')) word = withField(form, 'm', word, form.operation === 'atomic' ? 8 : INDEX)
    if (!decodeLoadStoreA64(word, insn) || insn.form !== form) continue
    // Pairs of CASP begin at even registers.
    if (form.operation === 'compare-and-swap' && form.attributes.has('pair') && (insn.rt & 1) !== 0) continue
    return word
  }
}

function plain(rng: Rng): number {
  for (;;) {
    const form = rng.pick(plains)
    const word = form.fields.size === 0 ? form.value : wordOf(form, rng)
    if (findA64(word)?.index === form.index && !RESERVED.has(word & 31)) return word
  }
}

/** ADD of an immediate: `base` pages and bytes after X28. */
const place = (register: number, offset: number): number[] => [
  (0x9140_0000 | ((offset >>> 12) << 10) | (PAGES_BASE << 5) | register) >>> 0,
  (0x9100_0000 | ((offset & 0xfff) << 10) | (register << 5) | register) >>> 0,
]

/** Pages that have a neighbour behind them. */
const borders = PAGES.filter(({ va }) => PAGES.some((other) => other.va === va + 4096)).map(({ va }) => va + 4096)

/** Draws a program, which ends by PSCI's CPU_OFF. */
export function drawProgram(rng: Rng): number[] {
  // movz x27, #rounds; movz x20, #index
  const words = [(0xd280_0000 | ((1 + rng.below(MOST_ROUNDS)) << 5) | COUNTER) >>> 0]
  words.push((0xd280_0000 | ((8 * rng.below(4)) << 5) | INDEX) >>> 0)
  const start = words.length
  for (let i = 0; i < BASES; i++) {
    const near = rng.chance(3, 4) ? 8 * rng.below(32) : rng.below(256)
    words.push(...place(FIRST_BASE + i, rng.pick(borders) - 128 + near - FIRST_PAGE))
  }
  for (let i = 0; i < LENGTH; i++) words.push(rng.chance(1, 3) ? access(rng) : plain(rng))
  // sub x27, x27, #1; cbnz x27, start
  words.push(0xd100_077b)
  words.push((0xb500_0000 | (((start - words.length) & 0x7_ffff) << 5) | COUNTER) >>> 0)
  // movz w0, #0x8400, lsl #16; movk w0, #2; hvc #0
  return [...words, 0x52b0_8000, 0x7280_0040, 0xd400_0002]
}

/** Where a program lies. */
export const PROGRAM: number = CODE
