import { beforeEach, describe, expect, it } from 'vitest'
import { SLOW_WRITE } from '../../src/state/host.ts'
import * as S from '../../src/state/state-layout.ts'
import { Random, encode, subjects, writeCase, type Subject } from './cases.ts'
import { CASE_BYTES, Interpreted, LINEAR_PAGE, MEMORY_ADDRESS, STATE } from './interpreted.ts'

/** What happens to an integer vector instruction that cannot complete: nothing, whatever it was going to do. */

const PAGE = 0x1000
const FSW_ES = 0x80
const all = subjects()
const inMemory = all.filter((subject) => subject.memory)
const ours = new Interpreted()
const random = new Random(1)
const view = new DataView(new ArrayBuffer(CASE_BYTES))

/** Loads random registers and the instruction; memory operands at RBX. */
function prepare(subject: Subject, base = MEMORY_ADDRESS): void {
  writeCase(random, view)
  ours.base = base
  ours.decode(Uint8Array.from(encode(subject, random, 0)))
  ours.load(view)
}

/** Registers, flags and x87 state. The exception's description, the access buffer and the accounts of slow accesses may change. */
function registers(): Uint8Array {
  const bytes = ours.u8.slice(STATE, STATE + S.STATE_BYTES)
  bytes.fill(0, S.S_BUDGET, S.S_BUDGET + 4)
  bytes.fill(0, S.S_FAULT_VECTOR, S.S_DATA + 64)
  bytes.fill(0, 0xb8, 0xbc)
  for (const field of [S.S_TLB_MISSES, S.S_MADE_AGAIN]) bytes.fill(0, field, field + 4)
  return bytes
}

function set(offset: number, value: number): void {
  ours.view.setUint32(STATE + offset, value, true)
}

beforeEach(() => {
  set(S.S_SSE_GATE, 0)
  set(S.S_MMX_GATE, 0)
  ours.slowAccess = () => {
    throw new Error('slow access')
  }
})

describe('memory operands', () => {
  it('an operand that ends with its page is accessed without touching the next', () => {
    for (const subject of inMemory) {
      prepare(subject, LINEAR_PAGE + PAGE - subject.memorySize)
      expect(ours.execute(), subject.name).toBe(S.STATUS_LEAVE)
    }
  })

  it('an access that does not succeed leaves every register as it was', () => {
    for (const subject of inMemory) {
      for (const status of [S.STATUS_FAULT, S.STATUS_RETRY]) {
        prepare(subject, LINEAR_PAGE + 16 * PAGE)
        const before = registers()
        const seen: number[] = []
        ours.slowAccess = (lo, _, flags) => {
          seen.push(lo, flags)
          return status
        }
        expect(ours.execute(), subject.name).toBe(status)
        expect(seen, subject.name).toEqual([
          LINEAR_PAGE + 16 * PAGE,
          subject.memorySize | (subject.writesMemory ? SLOW_WRITE : 0),
        ])
        expect(registers(), subject.name).toEqual(before)
      }
    }
  })

  it('a slow read is taken from, and a slow write left in, the access buffer', () => {
    const data = (): bigint[] => [0, 8].map((i) => ours.view.getBigUint64(STATE + S.S_DATA + i, true))
    const address = LINEAR_PAGE + PAGE - 8
    const run = (bytes: readonly number[]): void => {
      ours.decode(Uint8Array.from(bytes))
      ours.view.setBigUint64(STATE + S.S_GPR + 24, BigInt(address), true)
      expect(ours.execute()).toBe(S.STATUS_LEAVE)
    }
    ours.slowAccess = (_, __, flags) => {
      expect(flags).toBe(16)
      ours.view.setBigUint64(STATE + S.S_DATA, 0x1122_3344_5566_7788n, true)
      ours.view.setBigUint64(STATE + S.S_DATA + 8, 0x99aa_bbcc_ddee_ff00n, true)
      return 0
    }
    run([0xf3, 0x0f, 0x6f, 0x0b]) // MOVDQU XMM1, [RBX]
    ours.view.setBigUint64(STATE + S.S_DATA, 0n, true)
    ours.slowAccess = (_, __, flags) => {
      expect(flags).toBe(16 | SLOW_WRITE)
      expect(data()).toEqual([0x1122_3344_5566_7788n, 0x99aa_bbcc_ddee_ff00n])
      return 0
    }
    run([0xf3, 0x0f, 0x7f, 0x0b]) // MOVDQU [RBX], XMM1
  })
})

describe('an instruction that may not be executed raises its exception before it looks at memory', () => {
  const raised = (subject: Subject): number | undefined => {
    prepare(subject, LINEAR_PAGE + 16 * PAGE)
    const before = registers()
    if (ours.execute() !== S.STATUS_FAULT) return undefined
    expect(registers(), subject.name).toEqual(before)
    expect(ours.view.getUint32(STATE + S.S_FAULT_HAS_ERROR, true), subject.name).toBe(0)
    return ours.view.getUint32(STATE + S.S_FAULT_VECTOR, true)
  }
  it.each([
    ['#UD', 6],
    ['#NM', 7],
  ])('%s closes SSE, not MMX', (_, vector) => {
    for (const subject of all) {
      set(S.S_SSE_GATE, vector)
      if (!subject.xmm) ours.slowAccess = () => S.STATUS_RETRY
      expect(raised(subject), subject.name).toBe(subject.xmm ? vector : undefined)
    }
  })

  it.each([
    ['#UD', 6],
    ['#NM', 7],
  ])('%s closes MMX, not SSE', (_, vector) => {
    for (const subject of all) {
      set(S.S_MMX_GATE, vector)
      if (!subject.mmx) ours.slowAccess = () => S.STATUS_RETRY
      expect(raised(subject), subject.name).toBe(subject.mmx ? vector : undefined)
    }
  })

  it('a pending x87 exception is #MF at an MMX instruction and nothing to SSE', () => {
    for (const subject of all) {
      writeCase(random, view)
      view.setUint16(2, FSW_ES | 0x3001, true)
      ours.base = LINEAR_PAGE + 16 * PAGE
      ours.decode(Uint8Array.from(encode(subject, random, 0)))
      ours.load(view)
      expect(ours.view.getUint32(STATE + S.S_FSW, true)).toBe(FSW_ES | 1)
      const before = registers()
      if (!subject.mmx) ours.slowAccess = () => S.STATUS_RETRY
      const status = ours.execute()
      if (!subject.mmx) {
        expect(status, subject.name).not.toBe(S.STATUS_FAULT)
        continue
      }
      expect(status, subject.name).toBe(S.STATUS_FAULT)
      expect(ours.view.getUint32(STATE + S.S_FAULT_VECTOR, true), subject.name).toBe(16)
      expect(registers(), subject.name).toEqual(before)
    }
  })
})
