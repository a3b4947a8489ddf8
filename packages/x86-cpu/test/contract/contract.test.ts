import { formatIntel } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { CaseBuilder } from '../semantics/cases.ts'
import { encode, modesOf } from '../semantics/encode.ts'
import type { Encoding } from '../semantics/encode.ts'
import { families } from '../semantics/families.ts'
import { CODE, IN_BYTES } from '../semantics/layout.ts'
import type { Mode } from '../semantics/layout.ts'
import { Random } from '../semantics/random.ts'
import { ContractMachine, DEVICE_PAGES, WINDOW_GPA } from './machine.ts'
import { checkReplay, readsOverlap, touchesTwice } from './replay.ts'
import { ROW_CODE, rows, startOf } from './rows.ts'

/** Random encodings of a form in a mode: 64-bit code, and other code in its two kinds of paging in turn. */
const ENCODINGS = { 64: 2, 32: 1, 16: 1 } as const
const WINDOW_PAGES = [WINDOW_GPA, WINDOW_GPA + 0x1000]

const machine = new ContractMachine()

function encodingsOf(random: Random, info: Parameters<typeof encode>[1], mode: Mode): Encoding[] {
  const list: Encoding[] = []
  const code = new Uint8Array(0x1000).fill(0xcc)
  for (let attempt = 0; attempt < 60 && list.length < ENCODINGS[mode]; attempt++) {
    const at = 0x140 + 0x80 * list.length
    const encoding = encode(random, info, mode, CODE + at)
    if (encoding === undefined || (info.memory === 'any' && encoding.insn.isMemory === 0)) continue
    list.push(encoding)
    code.set(encoding.bytes, at)
  }
  machine.setCode(code)
  return list
}

/**
 * The instruction contract (design.md): whichever access of an instruction meets a device that answers later, and however
 * often, the instruction ends as if all had been RAM: registers, memory, A and D bits; each device access is made once,
 * in the order it has without waiting; and what others do to RAM meanwhile does not show.
 */
describe('an instruction that meets devices is replayed exactly', () => {
  test.each(families())('$name', { timeout: 120_000 }, ({ name, forms }) => {
    const random = new Random(0xc0de)
    const violations: string[] = []
    let turn = false
    for (const info of forms) {
      for (const mode of modesOf(info)) {
        for (const encoding of encodingsOf(random, info, mode)) {
          const input = new Uint8Array(IN_BYTES)
          new CaseBuilder(random, encoding, input).build()
          // Compatibility mode and two-level paging in turn.
          const narrow = mode !== 64 && (turn = !turn)
          const start = { input, supervisor: false, narrow, length: encoding.bytes.length, used: false }
          const report = checkReplay(machine, start, WINDOW_PAGES)
          if (readsOverlap(info, report)) continue
          // An iteration of a string instruction may read what another one has read.
          if (name !== 'string' && touchesTwice(report.accesses))
            violations.push(`${formatIntel(encoding.insn)} touches a byte twice`)
          if (report.violations.length > 0)
            violations.push([formatIntel(encoding.insn), ...report.violations].join('\n  '))
        }
      }
    }
    expect(violations.slice(0, 5).join('\n')).toBe('')
  })

  /** 32-bit rows that change no tables run with two-level paging as well. */
  const narrowRows = rows.filter((row) => row.mode === 32 && row.patch === undefined)
  test.each([
    ...rows.map((row) => ({ row, name: row.name, narrow: false })),
    ...narrowRows.map((row) => ({ row, name: `${row.name}, with two-level paging`, narrow: true })),
  ])('$name', ({ row, narrow }) => {
    const code = new Uint8Array(0x1000).fill(0xcc)
    code.set(Buffer.from(row.code, 'hex'), ROW_CODE - CODE)
    machine.setCode(code)
    const report = checkReplay(machine, { ...startOf(row), narrow }, DEVICE_PAGES)
    expect(report.violations).toEqual([])
    expect(report.vector).toBe(row.ends ?? 3)
    expect(report.accesses.length).toBeGreaterThan(0)
    expect(report.blocked).toBeGreaterThan(0)
  })
})
