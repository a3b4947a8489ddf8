/** Random loads and stores of every form, at the pages of the test. */
import { Addressing, decodeLoadStoreA64, Extend, formatLoadStore, LoadStore, type Form } from '@retrap/arm-decoder'
import type { Rng } from '@retrap/tooling/soak'
import { CODE, PAGES, type TestPage } from './layout.ts'

/** Bytes on each side of a border that are set before a case and compared after it. */
export const AROUND = 256

/** Features that the processor says it does not have: their loads and stores are undefined instructions. */
export const ABSENT: readonly string[] = [
  'DPB2',
  'GCS',
  'LRCPC3',
  'LS64',
  'LS64_ACCDATA',
  'LS64_V',
  'LSCP',
  'LSE128',
  'LSFE',
  'LSUI',
  'MOPS',
  'MOPS_GO',
  'MTE',
  'MTE2',
  'SME',
  'SME2',
  'SVE',
  'THE',
]

/** One instruction, its state, and where it goes. */
export interface FormCase {
  readonly form: Form
  readonly text: string
  /** The instruction, perhaps behind one that marks its address for it. */
  readonly code: readonly number[]
  readonly x: readonly bigint[]
  readonly sp: bigint
  readonly v: readonly bigint[]
  /** As SPSR_EL1 has it, with the flags. */
  readonly pstate: number
  readonly sctlr: bigint
  /** First byte that is accessed. */
  readonly address: number
  /** Bytes of one access where the address is a multiple of them; 0: the form says nothing of it. */
  readonly unit: number
  /** The pages on both sides of the border that it is near. */
  readonly pages: readonly [TestPage, TestPage]
  /** Bytes before and after the border. */
  readonly contents: Uint8Array
}

const insn: LoadStore = new LoadStore()

/** SCTLR_EL1: RES1, MMU, caches; what EL0 may do; then bits that a case sets or not: A, SA, SA0, DZE, UCI. */
const SCTLR = 0x30d0_0800n | 1n | (1n << 2n) | (1n << 12n)
const SCTLR_A = 1
const SCTLR_OFTEN = [3, 4, 14, 26] as const
/** EnDB and EnDA: LDRAA and LDRAB authenticate. */
const SCTLR_KEYS = (1n << 13n) | (1n << 27n)

const PSTATE_MASKED = 0x3c0
const PSTATE_PAN = 1 << 22
const PSTATE_UAO = 1 << 23
const MODES = [5, 5, 5, 0, 0, 4] as const

const borders: readonly (readonly [TestPage, TestPage])[] = PAGES.slice(1).flatMap((page, i) => {
  const before = PAGES[i]!
  return before.va + 4096 === page.va ? [[before, page] as const] : []
})

/** A field of a row set to a value in a word. */
export function withField(form: Form, letter: string, word: number, value: number): number {
  let result = word
  let rest = value
  for (const piece of form.fields.get(letter)!.pieces.toReversed()) {
    const [shift, width] = [piece & 255, piece >> 8]
    const ones = 2 ** width - 1
    result = ((result & ~(ones << shift)) | ((rest & ones) << shift)) >>> 0
    rest >>>= width
  }
  return result
}

const signExtended = (value: bigint, from: number): bigint => BigInt.asIntN(from, value)

/** The value that is added to the base before the access. */
function distance(x: readonly bigint[]): bigint {
  if (insn.addressing === Addressing.POST_INDEX) return 0n
  if (insn.rm < 0) return BigInt(insn.offset)
  const index = insn.rm === 31 ? 0n : x[insn.rm]!
  const extended =
    insn.extend === Extend.UXTW
      ? BigInt.asUintN(32, index)
      : insn.extend === Extend.SXTW
        ? signExtended(index, 32)
        : signExtended(index, 64)
  return extended << BigInt(insn.shift)
}

/** Leaves out what the manual calls constrained unpredictable. */
function isUnpredictable(): boolean {
  const { form, rt, rt2, rs, rn, rm, addressing, vector } = insn
  if (rm >= 0 && rm === rn) return true
  const writeback = addressing === Addressing.PRE_INDEX || addressing === Addressing.POST_INDEX
  if (!vector && writeback && rn !== 31 && (rt === rn || rt2 === rn)) return true
  if (form.operation.startsWith('load') && form.attributes.has('pair') && rt === rt2) return true
  return form.operation === 'store-exclusive' && (rs === rt || rs === rt2 || (rs === rn && rn !== 31))
}

/** LDXR, or LDXP, of the address that a store-exclusive is for, into XZR, or X30 and XZR. */
function markOf(): number {
  const pair = insn.form.attributes.has('pair')
  const size = Math.log2(insn.elementSize)
  return ((size << 30) | (pair ? 0x087f_7c00 | 30 : 0x085f_7c1f) | (insn.rn << 5)) >>> 0
}

/** Draws an address near a border, more often than not aligned. */
function place(rng: Rng, bytes: number, unit: number): { border: (typeof borders)[number]; address: number } {
  const border = rng.pick(borders)
  const middle = border[1].va
  const start = middle - bytes - 16 + rng.below(2 * bytes + 32)
  const free = start - (start % (rng.chance(1, 3) ? 1 : Math.max(1, unit)))
  // Across the border, or up to it, as often as anywhere.
  const address = rng.chance(1, 3) ? middle - rng.below(Math.floor(bytes / Math.max(1, unit)) + 1) * unit : free
  return { border, address }
}

/** A case of a form; undefined where what was drawn is another's, or the manual leaves open what it does. */
export function drawCase(form: Form, rng: Rng): FormCase | undefined {
  let word = ((rng.u32() & ~form.mask) | form.value) >>> 0
  if (!decodeLoadStoreA64(word, insn) || insn.form !== form || isUnpredictable()) return undefined
  const x = Array.from({ length: 31 }, () => rng.u64())
  const isBlock = form.attributes.has('block') || form.operation === 'cache'
  const bytes = isBlock ? 64 : Math.max(1, insn.elementSize * insn.elements)
  const aligned = /exclusive|atomic|swap/.test(form.operation) || insn.acquire || insn.release
  const { border, address } = place(rng, bytes, aligned && !rng.chance(1, 8) ? bytes : insn.elementSize)
  let sp = rng.u64() & ~15n
  if (insn.addressing === Addressing.LITERAL) {
    const imm = (address - CODE) >> 2
    word = withField(form, 'i', word, imm & 0x7_ffff)
    decodeLoadStoreA64(word, insn)
  } else {
    const base = BigInt.asUintN(64, BigInt(address) - distance(x))
    if (insn.rn === 31) sp = base
    else x[insn.rn < 0 ? insn.rt : insn.rn] = base
    if (insn.rn < 0 && insn.rt === 31) return undefined
  }
  const code = [word]
  if (form.operation === 'store-exclusive' && rng.chance(7, 8)) {
    if ([insn.rt, insn.rt2, insn.rs, insn.rn].includes(30)) return undefined
    code.unshift(markOf())
  }
  // PACDZA or PACDZB of the base.
  if (form.attributes.has('pac') && insn.rn !== 31 && rng.chance(3, 4)) {
    code.unshift(((form.mnemonic === 'LDRAA' ? 0xdac1_2be0 : 0xdac1_2fe0) | insn.rn) >>> 0)
  }
  const contents = rng.bytes(2 * AROUND)
  let sctlr = SCTLR
  for (const bit of SCTLR_OFTEN) if (rng.chance(7, 8)) sctlr |= 1n << BigInt(bit)
  if (rng.chance(1, 8)) sctlr |= 1n << BigInt(SCTLR_A)
  if (form.attributes.has('pac') && rng.chance(3, 4)) sctlr |= SCTLR_KEYS
  const mode = rng.pick(MODES)
  let pstate = PSTATE_MASKED | mode | (rng.u32() & 0xf000_0000)
  if (mode !== 0 && rng.chance(1, 16)) pstate |= PSTATE_PAN
  if (mode !== 0 && rng.chance(1, 8)) pstate |= PSTATE_UAO
  if (form.operation === 'compare-and-swap' && rng.chance()) makeEqual(x, contents, address - border[1].va)
  const unit = insn.elementSize === 16 ? 8 : insn.elementSize
  return {
    form,
    text: formatLoadStore(insn),
    code,
    x,
    sp,
    v: Array.from({ length: 32 }, () => (rng.u64() << 64n) | rng.u64()),
    pstate: pstate >>> 0,
    sctlr,
    address: insn.addressing === Addressing.LITERAL ? CODE + insn.offset : address,
    unit: isBlock ? 0 : unit,
    pages: border,
    contents,
  }
}

/** Has a compare and swap find what it compares with. */
function makeEqual(x: bigint[], contents: Uint8Array, offset: number): void {
  const view = new DataView(contents.buffer, contents.byteOffset)
  for (let element = 0; element < insn.elements; element++) {
    const register = insn.rs + element
    if (register >= 31 || register === insn.rn) continue
    const at = AROUND + offset + element * insn.elementSize
    if (at < 0 || at + 8 > contents.length) continue
    const mask = (1n << BigInt(8 * insn.elementSize)) - 1n
    x[register] = (x[register]! & ~mask) | (view.getBigUint64(at, true) & mask)
  }
}
