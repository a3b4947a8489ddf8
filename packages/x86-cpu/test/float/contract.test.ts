import { describe, expect, test } from 'vitest'
import { sseFloat } from '../../src/semantics/vector/sse-float.ts'
import { x87 } from '../../src/semantics/index.ts'
import * as S from '../../src/state/state-layout.ts'
import { Random, extendedBits, floatBits } from './numbers.ts'
import * as P from './processor.ts'

/** design.md, "The instruction contract": an instruction that does not retire has changed nothing. */

const processors = { sse: new P.Processor(sseFloat), x87: new P.Processor(x87) }
const sseForms = P.formsOf(sseFloat, () => true).map((form) => ({ ...form, unit: 'sse' as const }))
const x87Forms = P.formsOf(x87, () => true).map((form) => ({ ...form, unit: 'x87' as const }))
const forms = [...sseForms, ...x87Forms]

const VECTOR_UD = 6
const VECTOR_NM = 7
const VECTOR_GP = 13
const VECTOR_MF = 16
const VECTOR_XM = 19
const FAULT = 0x100

function prepared(form: P.TestForm): Uint8Array {
  const random = new Random(form.info.code + 1)
  const cases = new Uint8Array(P.CASE_BYTES)
  const view = new DataView(cases.buffer)
  cases.set(form.bytes, P.C_CODE)
  for (let i = 0; i < 32; i++) view.setBigUint64(P.FX_XMM + 8 * i, floatBits(random, 64), true)
  for (let i = 0; i < 8; i++) view.setBigUint64(P.C_MEMORY + 8 * i, floatBits(random, 64), true)
  for (let i = 0; i < 8; i++) {
    const { significand, word } = extendedBits(random)
    view.setBigUint64(P.FX_ST + 16 * i, significand, true)
    view.setUint16(P.FX_ST + 16 * i + 8, word, true)
  }
  view.setUint16(P.FX_FCW, 0x37f, true)
  view.setUint16(P.FX_FSW, 3 << 11, true)
  view.setUint8(P.FX_FTW, 0xff)
  view.setUint32(P.FX_MXCSR, 0x1f80, true)
  if (form.info.mnemonic === 'LDMXCSR') view.setUint32(P.C_MEMORY, 0x1f80, true)
  return cases
}

/** Everything in the state but scratch, the data of accesses, and the bookkeeping of the test. */
function snapshot(state: DataView): string {
  const bytes = new Uint8Array(state.buffer.slice(state.byteOffset, state.byteOffset + 0xd80))
  bytes.fill(0, S.S_SCRATCH)
  bytes.fill(0, S.S_DATA, S.S_DATA + 64)
  // Budget, record and fault fields belong to the run.
  bytes.fill(0, 0xb8, 0xc0)
  bytes.fill(0, 0x370, 0x390)
  bytes.fill(0, 0x80, 0x90)
  // A refused access counts as one too.
  for (const field of [S.S_TLB_MISSES, S.S_MADE_AGAIN]) bytes.fill(0, field, field + 4)
  return Buffer.from(bytes).toString('base64')
}

describe('a memory access that is not answered yet leaves no trace', () => {
  test.each(forms.filter((form) => form.memory))('$name', (form) => {
    const processor = processors[form.unit]
    const before = prepared(form)
    processor.refused = -1
    const after = before.slice()
    let initial = ''
    processor.execute(after, 0, (state) => {
      initial = snapshot(state)
    })
    const count = processor.accesses
    expect(count).toBeGreaterThan(0)
    // Several writes are checked beforehand: only the accesses up to the first write can be refused.
    const writes = (form.form.operands[0]?.access ?? 'r') !== 'r' && form.form.operands[0]?.kind === 'mem'
    for (let i = 0; i < (writes ? 1 : count); i++) {
      processor.refused = i
      const attempt = before.slice()
      expect(processor.execute(attempt, 0)).toBe(S.STATUS_RETRY)
      expect(snapshot(processor.state)).toBe(initial)
      expect(attempt.subarray(P.C_MEMORY, P.C_MEMORY + 64)).toEqual(before.subarray(P.C_MEMORY, P.C_MEMORY + 64))
    }
    processor.refused = -1
  })
})

describe('the gates of CR0 and CR4 come before anything else', () => {
  test.each(sseForms)('$name with SSE disabled', (form) => {
    const status = processors.sse.execute(prepared(form), 0, (state) => state.setUint32(S.S_SSE_GATE, VECTOR_UD, true))
    expect(status).toBe(FAULT + VECTOR_UD)
    expect(processors.sse.accesses).toBe(0)
  })

  test.each(x87Forms.filter((form) => form.info.mnemonic !== 'FWAIT'))('$name after a task switch', (form) => {
    const status = processors.x87.execute(prepared(form), 0, (state) => state.setUint32(S.S_X87_GATE, VECTOR_NM, true))
    expect(status).toBe(FAULT + VECTOR_NM)
    expect(processors.x87.accesses).toBe(0)
  })

  test.each([
    { mp: 0, ts: 0, status: S.STATUS_LEAVE },
    { mp: 0, ts: 8, status: S.STATUS_LEAVE },
    { mp: 2, ts: 0, status: S.STATUS_LEAVE },
    { mp: 2, ts: 8, status: FAULT + VECTOR_NM },
  ])('FWAIT with CR0.MP $mp and TS $ts (SDM vol. 2, WAIT/FWAIT)', ({ mp, ts, status }) => {
    const [form] = x87Forms.filter(({ info }) => info.mnemonic === 'FWAIT')
    const cr0 = (state: DataView): void => state.setUint32(S.S_CR0, mp | ts, true)
    expect(processors.x87.execute(prepared(form as P.TestForm), 0, cr0)).toBe(status)
  })

  test.each(sseForms.filter(({ form }) => form.operands.some((o) => o.kind === 'mmx')))(
    '$name looks at CR0.EM and at pending x87 exceptions',
    (form) => {
      const gate = (state: DataView): void => state.setUint32(S.S_MMX_GATE, VECTOR_UD, true)
      expect(processors.sse.execute(prepared(form), 0, gate)).toBe(FAULT + VECTOR_UD)
      const pending = (state: DataView): void => state.setUint32(S.S_FSW, 0x8081, true)
      expect(processors.sse.execute(prepared(form), 0, pending)).toBe(FAULT + VECTOR_MF)
    },
  )
})

describe('16-byte operands of SSE instructions (SDM vol. 3A, "General-Protection Exception")', () => {
  const UNALIGNED = /^MOVUP[SD]$/
  test.each(
    sseForms.filter((form) => form.memory && form.form.operands.some((o) => o.kind === 'mem' && o.size === 16)),
  )('$name off a boundary', (form) => {
    processors.sse.operandOffset = 4
    const status = processors.sse.execute(prepared(form), 0)
    processors.sse.operandOffset = 0
    expect(status).toBe(UNALIGNED.test(form.info.mnemonic) ? S.STATUS_LEAVE : FAULT + VECTOR_GP)
  })
})

describe('an unmasked SIMD exception (SDM vol. 1, "SIMD Floating-Point Exceptions")', () => {
  test.each([
    { cr4: 0x600, vector: VECTOR_XM },
    { cr4: 0x200, vector: VECTOR_UD },
  ])('with CR4 $cr4 is vector $vector', ({ cr4, vector }) => {
    const [form] = P.formsOf(sseFloat, (mnemonic) => mnemonic === 'DIVSD')
    const cases = prepared(form as P.TestForm)
    const view = new DataView(cases.buffer)
    // 1 / 0, nothing masked.
    view.setBigUint64(P.FX_XMM, 0x3ff0_0000_0000_0000n, true)
    view.setBigUint64(P.C_MEMORY, 0n, true)
    view.setUint32(P.FX_MXCSR, 0, true)
    const status = processors.sse.execute(cases, 0, (state) => state.setUint32(S.S_CR4, cr4, true))
    expect(status).toBe(FAULT + vector)
    expect(processors.sse.state.getUint32(S.S_MXCSR, true)).toBe(4)
    expect(view.getBigUint64(P.FX_XMM, true)).toBe(0x3ff0_0000_0000_0000n)
  })
})

describe('an unmasked x87 exception', () => {
  /** ST(0) is a signalling NaN, and invalid operations are not masked. */
  function invalid(form: P.TestForm): Uint8Array {
    const cases = prepared(form)
    const view = new DataView(cases.buffer)
    view.setUint16(P.FX_FCW, 0x37e, true)
    view.setBigUint64(P.FX_ST, 0xa000_0000_0000_0000n, true)
    view.setUint16(P.FX_ST + 8, 0x7fff, true)
    return cases
  }

  const comparisons = x87Forms.filter(({ info }) => /^FU?COMIP?$/.test(info.mnemonic))
  test.each(comparisons)('$name sets neither ZF, PF nor CF, and clears OF, SF and AF (SDM vol. 2A, FCOMI)', (form) => {
    for (const { before, after } of [
      { before: 0x8d5, after: 0x45 },
      { before: 0x890, after: 0 },
    ]) {
      const cases = invalid(form)
      const view = new DataView(cases.buffer)
      view.setUint32(P.C_RFLAGS, before, true)
      expect(processors.x87.execute(cases, 0)).toBe(S.STATUS_LEAVE)
      expect(view.getUint32(P.C_RFLAGS, true)).toBe(after)
      expect(view.getUint16(P.FX_FSW, true)).toBe(0x8081 | (3 << 11))
    }
  })

  const stores = x87Forms.filter(
    ({ info, form, memory }) => memory && /^F(ST|IST|BST)/.test(info.mnemonic) && form.operands[0]?.size !== 10,
  )
  test.each(stores)(
    '$name stores nothing, and looks whether it could (SDM vol. 3A, "Priority Among Concurrent Events")',
    (form) => {
      const before = invalid(form)
      const cases = before.slice()
      const { x87: processor } = processors
      processor.refused = 0
      expect(processor.execute(cases, 0)).toBe(S.STATUS_RETRY)
      expect(processor.state.getUint32(S.S_FSW, true)).toBe(0)
      processor.refused = -1
      expect(processor.execute(cases, 0)).toBe(S.STATUS_LEAVE)
      expect(processor.state.getUint32(S.S_FSW, true)).toBe(0x8081)
      expect(cases.subarray(P.C_MEMORY, P.C_MEMORY + 64)).toEqual(before.subarray(P.C_MEMORY, P.C_MEMORY + 64))
    },
  )
})

describe('the pointers to the last x87 instruction (SDM vol. 1, "x87 FPU Instruction and Operand (Data) Pointers")', () => {
  test.each([
    { name: 'FLD1', code: [0xd9, 0xe8], fop: 0x1e8, memory: false },
    { name: 'FADD ST(0), ST(3)', code: [0xd8, 0xc3], fop: 0x0c3, memory: false },
    { name: 'FADD m64', code: [0xdc, 0x06], fop: 0x406, memory: true },
    { name: 'FSTP m80', code: [0xdb, 0x3e], fop: 0x33e, memory: true },
    { name: 'FILD m32, displacement', code: [0xdb, 0x46, 0x00], fop: 0x346, memory: true },
  ])('$name', ({ code, fop, memory }) => {
    const cases = prepared(x87Forms[0] as P.TestForm)
    cases.fill(0x90, P.C_CODE, P.C_CODE + 16)
    cases.set(code, P.C_CODE)
    const { state } = processors.x87
    processors.x87.execute(cases, 0, () => {
      state.setBigUint64(S.S_PAGE_BASE, 0xffff_8000_0040_1000n, true)
      state.setBigUint64(S.S_RIP_MASK, 0xffff_ffff_ffff_ffffn, true)
    })
    expect(state.getUint32(S.S_FOP, true)).toBe(fop)
    expect(state.getBigUint64(S.S_FIP, true)).toBe(0xffff_8000_0040_1000n)
    expect(state.getBigUint64(S.S_FDP, true)).toBe(memory ? 0x1234_5678_9000n : 0n)
  })

  test('control instructions leave them alone', () => {
    for (const form of x87Forms.filter(({ info }) => /^FN(STCW|STSW|CLEX)|FLDCW$/.test(info.mnemonic))) {
      const { state } = processors.x87
      processors.x87.execute(prepared(form), 0, () => state.setBigUint64(S.S_FIP, 0x1234n, true))
      expect(state.getBigUint64(S.S_FIP, true)).toBe(0x1234n)
    }
  })
})
