import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { x87 } from '../../src/semantics/index.ts'
import { Random, extendedBits, floatBits, hex, integer } from './numbers.ts'
import * as P from './processor.ts'

const CASES = slicedCount(300, 6)
const PUSHES = /^F(I?LD|BLD|LD.*|XTRACT|SINCOS|PTAN)$/

/** An exact whole number, or one near the limits of the integer formats, so that conversions are interesting. */
function wholeNumber(random: Random): { readonly significand: bigint; readonly word: number } {
  const bits = random.pick([15, 16, 31, 32, 60, 63, 64])
  return {
    significand: (1n << 63n) | random.bits(63),
    word: (random.below(2) << 15) | (0x3fff + bits - 1 + random.below(2)),
  }
}

function setRegister(view: DataView, i: number, value: { readonly significand: bigint; readonly word: number }): void {
  view.setBigUint64(P.FX_ST + 16 * i, value.significand, true)
  view.setUint16(P.FX_ST + 16 * i + 8, value.word, true)
}

function setMemory(form: P.TestForm, view: DataView, random: Random): void {
  for (let i = 0; i < 8; i++) view.setBigUint64(P.C_MEMORY + 8 * i, random.bits(64), true)
  const size = form.form.operands.find((o) => o.kind === 'mem')?.size ?? 0
  const { mnemonic } = form.info
  if (mnemonic === 'FLDCW') view.setUint16(P.C_MEMORY, random.below(0x10000), true)
  else if (mnemonic === 'FBLD') {
    for (let i = 0; i < 9; i++) view.setUint8(P.C_MEMORY + i, random.below(10) * 16 + random.below(10))
    view.setUint8(P.C_MEMORY + 9, random.below(2) << 7)
  } else if (mnemonic.startsWith('FI')) view.setBigUint64(P.C_MEMORY, integer(random), true)
  else if (size === 4) view.setUint32(P.C_MEMORY, Number(floatBits(random, 32)), true)
  else if (size === 8) view.setBigUint64(P.C_MEMORY, floatBits(random, 64), true)
  else if (size === 10) {
    const { significand, word } = extendedBits(random)
    view.setBigUint64(P.C_MEMORY, significand, true)
    view.setUint16(P.C_MEMORY + 8, word, true)
  }
}

function makeCases(form: P.TestForm, random: Random): Uint8Array {
  const cases = new Uint8Array(P.CASE_BYTES * CASES)
  for (let i = 0; i < CASES; i++) {
    const at = i * P.CASE_BYTES
    const view = new DataView(cases.buffer, at, P.CASE_BYTES)
    cases.fill(0x90, at + P.C_CODE, at + P.C_CODE + 16)
    cases.set(P.withImmediate(form, 0, random.below(4) === 0 ? random.below(8) : 1), at + P.C_CODE)
    view.setBigUint64(P.C_RAX, random.bits(64), true)
    view.setBigUint64(P.C_RFLAGS, BigInt(0x202 | (random.next() & 0x8d5)), true)
    const masks = P.isAmd && random.below(3) === 0 ? random.below(64) : 0x3f
    const precision = random.pick([3, 3, 2, 0])
    view.setUint16(
      P.FX_FCW,
      0x40 | masks | (precision << 8) | ((random.below(2) === 0 ? 0 : random.below(4)) << 10),
      true,
    )
    // Rarely an exception is pending.
    const flags = random.below(64) & (random.below(16) === 0 ? 0x3f : masks)
    const pending = (flags & ~masks) === 0 ? 0 : 0x8080
    const top = random.below(8)
    view.setUint16(P.FX_FSW, flags | pending | (random.next() & 0x4740) | (top << 11), true)
    const filled = PUSHES.test(form.info.mnemonic) ? 0xff ^ (1 << ((top + 7) & 7)) : 0xff
    view.setUint8(P.FX_FTW, P.isAmd && random.below(8) === 0 ? random.below(256) : filled)
    view.setUint32(P.FX_MXCSR, 0x1f80, true)
    for (let j = 0; j < 8; j++) setRegister(view, j, random.below(4) === 0 ? wholeNumber(random) : extendedBits(random))
    setMemory(form, view, random)
  }
  return cases
}

function outcome(cases: Uint8Array, i: number): P.Outcome {
  const at = i * P.CASE_BYTES
  const view = new DataView(cases.buffer, cases.byteOffset + at, P.CASE_BYTES)
  const trap = view.getUint32(P.C_TRAP, true)
  const result: P.Outcome = {
    trap: trap === P.NO_TRAP ? 'none' : trap,
    fcw: view.getUint16(P.FX_FCW, true).toString(16),
    fsw: view.getUint16(P.FX_FSW, true).toString(16),
    tags: view.getUint8(P.FX_FTW).toString(2),
    ax: view.getUint16(P.C_RAX, true).toString(16),
    flags: trap === P.NO_TRAP ? view.getUint32(P.C_RFLAGS, true) & 0x8d5 : 0,
    memory: hex(cases, at + P.C_MEMORY, 16),
  }
  for (let j = 0; j < 8; j++) result[`st${j}`] = hex(cases, at + P.FX_ST + 16 * j, 10)
  return result
}

function describeFailure(before: Uint8Array, i: number, is: P.Outcome, should: P.Outcome): string {
  const was = outcome(before, i)
  const inputs = ['fcw', 'fsw', 'tags', 'st0', 'st1', 'memory'].map((key) => `${key} ${String(was[key])}`).join(' ')
  return `${hex(before, i * P.CASE_BYTES, 4)} ${inputs}: ${P.differencesOf(is, should)}`
}

const processor = P.hostMissing === undefined ? new P.Processor(x87) : undefined
/** Processors differ in the last bit of these; transcendental.test.ts compares them with exact arithmetic. */
const TRANSCENDENTAL = /^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/
const C1 = 0x200
const UNDERFLOW = 0x10
/** The smallest normal number, of either sign. */
const SMALLEST_NORMAL = /^[08]0018000000000000000$/
const CONDITIONS = 0x4500
const SUMMARY = 0x80
/** Where the manuals differ we follow Intel's; these are the places where AMD's processors do not. */
const COMPARISON = /^(F(I|U)?COM.*|FTST)$/
/**
 * The rest of what is implementation-specific we took from AMD's processors, on which these tests were written: with other
 * hosts only masked exceptions and defined bits are compared.
 */
const VENDOR_SPECIFIC = /^(FPREM1?|F2XM1|FYL2XP1|FXTRACT|FSTPNCE|FFREEP?)$/

/** A double-extended number as an integer that counts units in the last place. */
function position(text: string): bigint {
  const word = Number.parseInt(text.slice(0, 4), 16)
  const magnitude = (BigInt(word & 0x7fff) << 63n) + (BigInt(`0x${text.slice(4)}`) & ((1n << 63n) - 1n))
  return (word & 0x8000) === 0 ? magnitude : -magnitude
}

function agree(form: P.TestForm, is: P.Outcome, should: P.Outcome): boolean {
  const status = (outcomes: P.Outcome): number => Number.parseInt(String(outcomes['fsw']), 16)
  let ignored = 0
  if (COMPARISON.test(form.info.mnemonic)) {
    // After an unmasked exception there is no result; FCOMI clears C1.
    const stopped = (status(should) & SUMMARY) !== 0
    if (stopped) ignored |= CONDITIONS
    if (form.info.mnemonic.includes('COMI')) ignored |= C1
    if (stopped && is['flags'] !== should['flags']) {
      // OF, SF and AF are cleared all the same.
      const cleared = (outcomes: P.Outcome): number => Number(outcomes['flags']) & 0x890
      return agree(form, { ...is, flags: cleared(is) }, { ...should, flags: cleared(should) })
    }
  } else if (!P.isAmd && form.info.mnemonic !== 'FXAM') ignored |= CONDITIONS | C1
  const transcendental = TRANSCENDENTAL.test(form.info.mnemonic)
  if (transcendental) {
    ignored |= C1
    // The last bit, which processors differ in, says whether a result beside the smallest normal number is one, or has underflowed.
    const isBeside = (key: string): boolean =>
      SMALLEST_NORMAL.test(String(is[key])) !== SMALLEST_NORMAL.test(String(should[key]))
    if (Object.keys(is).some((key) => key.startsWith('st') && isBeside(key))) ignored |= UNDERFLOW
  }
  // A multiple of a power of two's logarithm is exact, hence no underflow; processors see one.
  if (form.info.mnemonic.startsWith('FYL2X')) ignored |= UNDERFLOW
  return Object.keys(is).every((key) => {
    if (key === 'fsw') return ((status(is) ^ status(should)) & ~ignored) === 0
    if (transcendental && key.startsWith('st')) {
      const distance = position(String(is[key])) - position(String(should[key]))
      return distance >= -1n && distance <= 1n
    }
    return is[key] === should[key]
  })
}

describe.skipIf(P.hostMissing !== undefined)(`x87 compared with the host's${P.hostNote}`, () => {
  const forms = P.formsOf(x87, (mnemonic) => P.isAmd || !VENDOR_SPECIFIC.test(mnemonic))
  test.each(forms.filter(P.hostHas))('$name', (form) => {
    const before = makeCases(form, new Random(slicedSeed(0x1357_9bdf) ^ form.info.code))
    const expected = P.runOnHost(before)
    const actual = before.slice()
    for (let i = 0; i < CASES; i++) processor?.execute(actual, i * P.CASE_BYTES)
    const wrong: string[] = []
    for (let i = 0; i < CASES && wrong.length < 3; i++) {
      const [is, should] = [outcome(actual, i), outcome(expected, i)]
      if (!agree(form, is, should)) wrong.push(describeFailure(before, i, is, should))
    }
    expect(wrong, SLICE_REPEAT).toEqual([])
  })
})
