import { SLICE_REPEAT, sliced, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { sseFloat } from '../../src/semantics/vector/sse-float.ts'
import { areOtherNaNs } from '../support/nan-choice.ts'
import { Random, floatBits, hex, integer } from './numbers.ts'
import * as P from './processor.ts'
import type { TestForm } from './processor.ts'

const CASES = slicedCount(240, 6)

/** Fills 16 bytes with numbers of one width. */
function fillVector(view: DataView, at: number, random: Random, bits: 32 | 64): void {
  for (let i = 0; i < 128 / bits; i++) {
    const value = floatBits(random, bits)
    if (bits === 64) view.setBigUint64(at + 8 * i, value, true)
    else view.setUint32(at + 4 * i, Number(value), true)
  }
}

function mxcsr(random: Random): number {
  // Most often everything is masked; flags are set, so that the fast path is taken, half of the time.
  const masks = random.below(4) === 0 ? random.below(64) : 0x3f
  const flags = random.below(2) === 0 ? 0x20 : random.below(64)
  const rounding = random.below(2) === 0 ? 0 : random.below(4)
  const extra = random.below(4) === 0 ? random.pick([0x40, 0x8000, 0x8040]) : 0
  return flags | (masks << 7) | (rounding << 13) | extra
}

function makeCases(form: TestForm, random: Random, unmasked: boolean): Uint8Array {
  const cases = new Uint8Array(P.CASE_BYTES * CASES)
  for (let i = 0; i < CASES; i++) {
    const at = i * P.CASE_BYTES
    const view = new DataView(cases.buffer, at, P.CASE_BYTES)
    cases.fill(0x90, at + P.C_CODE, at + P.C_CODE + 16)
    cases.set(P.withImmediate(form, random.below(256)), at + P.C_CODE)
    view.setBigUint64(P.C_RAX, integer(random), true)
    view.setBigUint64(P.C_RCX, integer(random), true)
    view.setBigUint64(P.C_RFLAGS, BigInt(0x202 | (random.next() & 0x8d5)), true)
    view.setUint16(P.FX_FCW, 0x37f, true)
    view.setUint16(P.FX_FSW, random.below(8) << 11, true)
    view.setUint8(P.FX_FTW, 0)
    const control = mxcsr(random)
    view.setUint32(P.FX_MXCSR, unmasked ? control : control | 0x1f80, true)
    const width = /S[SD]$/.test(form.info.mnemonic) || random.below(2) === 0 ? 64 : 32
    const bits = /PD|SD|PI2PD/.test(form.info.mnemonic) ? 64 : /PS|SS/.test(form.info.mnemonic) ? 32 : width
    for (let j = 0; j < 4; j++) fillVector(view, P.C_MEMORY + 16 * j, random, bits)
    for (let j = 0; j < 16; j++) fillVector(view, P.FX_XMM + 16 * j, random, bits)
    // Integers as sources of conversions.
    if (/CVT(SI|DQ|PI)2/.test(form.info.mnemonic) && random.below(2) === 0) {
      view.setBigUint64(P.C_MEMORY, integer(random), true)
      view.setBigUint64(P.FX_XMM + 16, integer(random), true)
      view.setBigUint64(P.FX_XMM + 24, integer(random), true)
    }
    // Equal operands, and small whole numbers, are rare otherwise.
    if (random.below(8) === 0) cases.copyWithin(at + P.FX_XMM, at + P.FX_XMM + 16, at + P.FX_XMM + 32)
    for (let j = 0; j < 8; j++) {
      view.setBigUint64(P.FX_ST + 16 * j, integer(random), true)
      view.setUint16(P.FX_ST + 16 * j + 8, 0xffff, true)
    }
    if (form.info.mnemonic === 'LDMXCSR')
      view.setUint32(P.C_MEMORY, random.below(4) === 0 ? random.next() : random.below(0x10000), true)
  }
  return cases
}

/** The parts of a case that an instruction may change, in a form that reads well in a failure. */
function outcome(cases: Uint8Array, i: number): P.Outcome {
  const at = i * P.CASE_BYTES
  const view = new DataView(cases.buffer, cases.byteOffset + at, P.CASE_BYTES)
  const trap = view.getUint32(P.C_TRAP, true)
  const faulted = trap !== P.NO_TRAP
  return {
    trap,
    mxcsr: view.getUint32(P.FX_MXCSR, true).toString(16),
    rax: hex(cases, at + P.C_RAX, 8),
    flags: faulted ? 0 : view.getUint32(P.C_RFLAGS, true) & 0x8d5,
    memory: hex(cases, at + P.C_MEMORY, 64),
    xmm0: hex(cases, at + P.FX_XMM, 16),
    xmm1: hex(cases, at + P.FX_XMM + 16, 16),
    top: (view.getUint16(P.FX_FSW, true) >> 11) & 7,
    tags: view.getUint8(P.FX_FTW),
    mm0: hex(cases, at + P.FX_ST, 10),
  }
}

/** One line: what went in, and what differs. */
function describeFailure(before: Uint8Array, i: number, is: P.Outcome, should: P.Outcome): string {
  const was = outcome(before, i)
  const source = hex(before, i * P.CASE_BYTES + P.C_MEMORY, 16)
  return `${hex(before, i * P.CASE_BYTES, 8)} mxcsr ${String(was['mxcsr'])} xmm0 ${String(was['xmm0'])} xmm1 ${String(was['xmm1'])} mem ${source}: ${P.differencesOf(is, should)}`
}

const processor = P.hostMissing === undefined ? new P.Processor(sseFloat) : undefined
const APPROXIMATE = /^R(CP|SQRT)/
const ABSENT = /^MOVNTS[SD]$/

describe.skipIf(P.hostMissing !== undefined)(`SSE floating point compared with the host's${P.hostNote}`, () => {
  const forms = P.formsOf(sseFloat, (mnemonic) => !APPROXIMATE.test(mnemonic) && !ABSENT.test(mnemonic))
  test.each(sliced(forms.filter(P.hostHas), 2))('$name', (form) => {
    const random = new Random(slicedSeed(0x1234_5678) ^ form.info.code)
    const before = makeCases(form, random, true)
    const expected = P.runOnHost(before)
    const actual = before.slice()
    for (let i = 0; i < CASES; i++) processor?.execute(actual, i * P.CASE_BYTES)
    const wrong: unknown[] = []
    const laneBytes = { DPPS: 4, DPPD: 8 }[form.info.mnemonic] as 4 | 8 | undefined
    for (let i = 0; i < CASES && wrong.length < 3; i++) {
      if (laneBytes !== undefined) {
        const of = (cases: Uint8Array, from: number, to: number): Uint8Array =>
          cases.subarray(i * P.CASE_BYTES + from, i * P.CASE_BYTES + to)
        const [theirs, ours] = [expected, actual].map((cases) => of(cases, P.FX_XMM, P.FX_XMM + 16)) as [
          Uint8Array,
          Uint8Array,
        ]
        if (areOtherNaNs(laneBytes, theirs, ours, [of(before, 0, P.CASE_BYTES)])) ours.set(theirs)
      }
      const [is, should] = [outcome(actual, i), outcome(expected, i)]
      if (JSON.stringify(is) !== JSON.stringify(should)) wrong.push(describeFailure(before, i, is, should))
    }
    expect(wrong, SLICE_REPEAT).toEqual([])
  })
})

describe('RCPPS, RSQRTPS and their scalar forms (SDM vol. 2: relative error at most 1.5 · 2^-12)', () => {
  const approximations = new P.Processor(sseFloat)
  const forms = P.formsOf(sseFloat, (mnemonic) => APPROXIMATE.test(mnemonic))

  /** Result for one single-precision operand. */
  function approximate(form: TestForm, operand: number): { readonly result: number; readonly mxcsr: number } {
    const cases = new Uint8Array(P.CASE_BYTES)
    const view = new DataView(cases.buffer)
    cases.set(form.bytes, P.C_CODE)
    view.setUint32(P.FX_MXCSR, 0, true)
    for (const at of [P.C_MEMORY, P.FX_XMM + 16]) for (let i = 0; i < 4; i++) view.setUint32(at + 4 * i, operand, true)
    approximations.execute(cases, 0)
    return { result: view.getUint32(P.FX_XMM, true), mxcsr: view.getUint32(P.FX_MXCSR, true) }
  }

  const toFloat = (bits: number): number => new DataView(Uint32Array.of(bits).buffer).getFloat32(0, true)

  test.each(forms)('$name stays within the bound and raises nothing', (form) => {
    const random = new Random(77)
    const root = form.info.mnemonic.startsWith('RSQRT')
    for (let i = 0; i < slicedCount(2000, 5); i++) {
      const operand = Number(floatBits(random, 32)) & (root ? 0x7fff_ffff : -1)
      const x = toFloat(operand >>> 0)
      const exact = root ? 1 / Math.sqrt(x) : 1 / x
      const { result, mxcsr: flags } = approximate(form, operand >>> 0)
      expect(flags).toBe(0)
      if (!Number.isFinite(x) || Math.abs(x) < 2 ** -126 || Math.abs(exact) < 2 ** -125) continue
      expect(Math.abs(toFloat(result) / exact - 1)).toBeLessThanOrEqual(1.5 * 2 ** -12)
    }
  })

  test.each(forms)('$name of special operands', (form) => {
    const root = form.info.mnemonic.startsWith('RSQRT')
    const rows: readonly (readonly [given: number, reciprocal: number, root: number])[] = [
      [0, 0x7f80_0000, 0x7f80_0000],
      [0x8000_0000, 0xff80_0000, 0xff80_0000],
      [0x0000_0001, 0x7f80_0000, 0x7f80_0000],
      [0x807f_ffff, 0xff80_0000, 0xff80_0000],
      [0x7f80_0000, 0, 0],
      [0xff80_0000, 0x8000_0000, 0xffc0_0000],
      [0xbf80_0000, 0xbf80_0000, 0xffc0_0000],
      [0x7f80_0001, 0x7fc0_0001, 0x7fc0_0001],
      [0xffd0_0000, 0xffd0_0000, 0xffd0_0000],
      [0x7f7f_ffff, 0, 0x1f80_0000],
    ]
    for (const [given, reciprocal, squareRoot] of rows)
      expect(approximate(form, given).result.toString(16)).toBe((root ? squareRoot : reciprocal).toString(16))
  })
})
