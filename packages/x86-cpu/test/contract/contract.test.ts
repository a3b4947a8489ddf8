import { formatIntel } from '@retrap/x86-decoder'
import { SLICE_REPEAT, sliced, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { CaseBuilder } from '../semantics/cases.ts'
import { encode, modesOf } from '../semantics/encode.ts'
import type { Encoding } from '../semantics/encode.ts'
import { families } from '../semantics/families.ts'
import { CODE, IN_BYTES } from '../semantics/layout.ts'
import type { Mode } from '../semantics/layout.ts'
import { Random } from '../semantics/random.ts'
import { TEST_JIT } from '@retrap/tooling/jit'
import { TEST_LONG } from '@retrap/tooling/long'
import { ContractMachine, DEVICE_PAGES, WINDOW_GPA } from './machine.ts'
import { checkReplay, readsOverlap, touchesTwice } from './replay.ts'
import { ROW_CODE, rows, startOf } from './rows.ts'

/** Random encodings of a form in a mode: 64-bit code, and other code in its two kinds of paging in turn. */
const ENCODINGS = TEST_JIT === false ? { 64: 2, 32: 1, 16: 1 } : { 64: 1, 32: 1, 16: 0 }
/** Parts of the forms: a run takes one. */
const PARTS = TEST_JIT === false ? 8 : 10
/** Families whose instructions are mostly left to the interpreter, or end their code. */
const INTERPRETED: ReadonlySet<string> = new Set(['system', 'segments', 'privileged', 'control'])
const WINDOW_PAGES = [WINDOW_GPA, WINDOW_GPA + 0x1000]

let machine = new ContractMachine()

/** Units that machines before have compiled. */
let unitsBefore = 0

function unitCount(): number {
  const { units = 0, failures = 0 } = machine.vcpu.engine.jitCounts ?? {}
  expect(failures).toBe(0)
  return unitsBefore + units
}

function setCode(code: Uint8Array): void {
  if (!machine.isFresh) {
    unitsBefore = unitCount()
    machine = new ContractMachine()
  }
  machine.setCode(code)
}

function encodingsOf(random: Random, info: Parameters<typeof encode>[1], mode: Mode): Encoding[] {
  const list: Encoding[] = []
  if (ENCODINGS[mode] === 0) return list
  const code = new Uint8Array(0x1000).fill(0xcc)
  for (let attempt = 0; attempt < 60 && list.length < ENCODINGS[mode]; attempt++) {
    const at = 0x140 + 0x80 * list.length
    const encoding = encode(random, info, mode, CODE + at)
    if (encoding === undefined || (info.memory === 'any' && encoding.insn.isMemory === 0)) continue
    list.push(encoding)
    code.set(encoding.bytes, at)
  }
  setCode(code)
  return list
}

/**
 * The instruction contract (design.md): whichever access of an instruction meets a device that answers later, and however
 * often, the instruction ends as if all had been RAM: registers, memory, A and D bits; each device access is made once,
 * in the order it has without waiting; and what others do to RAM meanwhile does not show.
 */
describe('an instruction that meets devices is replayed exactly', () => {
  test.each(families())('$name', { timeout: 120_000 }, ({ name, forms }) => {
    const random = new Random(slicedSeed(0xc0de))
    const violations: string[] = []
    const units = unitCount()
    let turn = false
    let cases = 0
    // Compiling takes its time: every other form.
    for (const info of sliced(TEST_JIT === false ? forms : forms.filter((_, i) => i % 2 === 0), PARTS)) {
      for (const mode of modesOf(info)) {
        for (const encoding of encodingsOf(random, info, mode)) {
          const input = new Uint8Array(IN_BYTES)
          new CaseBuilder(random, encoding, input).build()
          // Compatibility mode and two-level paging in turn.
          const narrow = mode !== 64 && (turn = !turn)
          const start = { input, supervisor: false, narrow, length: encoding.bytes.length, used: false }
          cases++
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
    expect(violations.slice(0, 5).join('\n'), SLICE_REPEAT).toBe('')
    if (TEST_JIT === false) return
    const compiled = unitCount() - units
    console.log(`${name}: ${cases} cases, ${compiled} units compiled`)
    if (!INTERPRETED.has(name) && cases > 8) expect(compiled / cases).toBeGreaterThan(TEST_LONG ? 0.8 : 0.4)
  })

  /** 32-bit rows that change no tables run with two-level paging as well. */
  const narrowRows = rows.filter((row) => row.mode === 32 && row.patch === undefined)
  const narrowCases = narrowRows.map((row) => ({ row, name: `${row.name}, with two-level paging`, narrow: true }))
  const wideCases = rows.map((row) => ({ row, name: row.name, narrow: false }))
  test.each(sliced([...wideCases, ...narrowCases], PARTS))('$name', ({ row, narrow }) => {
    const code = new Uint8Array(0x1000).fill(0xcc)
    code.set(Buffer.from(row.code, 'hex'), ROW_CODE - CODE)
    setCode(code)
    const report = checkReplay(machine, { ...startOf(row), narrow }, DEVICE_PAGES)
    expect(report.violations).toEqual([])
    expect(report.vector).toBe(row.ends ?? 3)
    expect(report.accesses.length).toBeGreaterThan(0)
    expect(report.blocked).toBeGreaterThan(0)
  })
})
