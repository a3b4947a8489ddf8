import { skipNote } from '@retrap/tooling/skip'
import { SLICE_REPEAT, sliced, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, it } from 'vitest'
import { STATUS_FAULT, STATUS_LEAVE, S_FAULT_HAS_ERROR, S_FAULT_VECTOR } from '../../src/state/state-layout.ts'
import { Random, subjects, writeCase } from './cases.ts'
import type { Subject } from './cases.ts'
import {
  CASE_BYTES,
  CASE_CODE,
  CASE_FLAGS,
  CASE_GPR,
  CASE_MEMORY,
  CASE_MEMORY_BYTES,
  CASE_SIGNAL,
  FX_FSW,
  FX_FTW,
  FX_ST,
  FX_XMM,
  openHost,
} from './host.ts'
import type { HostProcessor } from './host.ts'
import { Interpreted, STATE } from './interpreted.ts'

/** Each form against the processor that the test runs on: registers, x87 state, flags and memory, bit for bit. */

/** Of each form; one in four has a misaligned operand. */
const CASES = 4 * slicedCount(60, 8)
const SIGSEGV = 11

const host = openHost()
const lack = typeof host === 'string' ? host : ''

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ')

/** The parts of a case that are compared, each with a name. */
function* compared(): Generator<readonly [name: string, offset: number, length: number]> {
  yield ['FSW', FX_FSW, 2]
  yield ['FTW', FX_FTW, 1]
  for (let i = 0; i < 8; i++) yield [`ST${i}`, FX_ST + 16 * i, 10]
  for (let i = 0; i < 16; i++) yield [`XMM${i}`, FX_XMM + 16 * i, 16]
  for (const i of [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14]) yield [`GPR${i}`, CASE_GPR + 8 * i, 8]
  yield ['flags', CASE_FLAGS, 2]
  yield ['memory', CASE_MEMORY, CASE_MEMORY_BYTES]
}
const COMPARED = [...compared()]

function differences(before: Uint8Array, theirs: Uint8Array, ours: Uint8Array): string[] {
  const found: string[] = []
  for (const [name, offset, length] of COMPARED) {
    const [a, b] = [theirs.subarray(offset, offset + length), ours.subarray(offset, offset + length)]
    if (a.some((value, i) => value !== b[i])) {
      found.push(
        `${name}: before ${hex(before.subarray(offset, offset + length))}, processor ${hex(a)}, ours ${hex(b)}`,
      )
    }
  }
  return found
}

function compare(
  processor: HostProcessor,
  ours: Interpreted,
  subject: Subject,
  seed: number,
): { failures: string[]; faults: number } {
  const random = new Random(seed)
  const cases = new Uint8Array(CASES * CASE_BYTES)
  const view = (i: number): DataView => new DataView(cases.buffer, i * CASE_BYTES, CASE_BYTES)
  for (let i = 0; i < CASES; i++) writeCase(subject, random, view(i), i % 4 === 3)
  const before = cases.slice()
  const results = processor.run(cases)
  const failures: string[] = []
  let faults = 0
  for (let i = 0; i < CASES && failures.length < 4; i++) {
    const part = (all: Uint8Array): Uint8Array => all.subarray(i * CASE_BYTES, (i + 1) * CASE_BYTES)
    const length = part(cases)[CASE_CODE] as number
    const signal = part(results)[CASE_SIGNAL] as number
    const status = ours.run(view(i), length)
    const code = hex(part(before).subarray(CASE_CODE + 1, CASE_CODE + 1 + length))
    const report = (text: string): void => void failures.push(`${subject.name} [${code}] case ${i}: ${text}`)
    if (signal !== 0) {
      faults++
      // Nothing else faults here but alignment.
      if (signal !== SIGSEGV) report(`signal ${signal}`)
      else if (status !== STATUS_FAULT || ours.view.getUint32(STATE + S_FAULT_VECTOR, true) !== 13)
        report(`no #GP, status ${status}`)
      else if (ours.view.getUint32(STATE + S_FAULT_HAS_ERROR, true) !== 1) report('#GP without error code')
      else ours.store(view(i))
      for (const text of differences(part(before), part(before), part(cases))) report(`changed by a fault: ${text}`)
      continue
    }
    if (status !== STATUS_LEAVE) report(`status ${status}`)
    for (const text of differences(part(before), part(results), part(cases))) report(text)
  }
  return { failures, faults }
}

describe.skipIf(lack !== '')(
  `an integer vector instruction does what the processor does${skipNote(lack === '', lack)}`,
  () => {
    const processor = host as HostProcessor
    const ours = new Interpreted()
    const all = subjects()

    it('there is a form for every row of the table', () => {
      expect(all.length).toBeGreaterThan(380)
    })

    const byMnemonic = Map.groupBy(all, (subject) => subject.info.mnemonic)
    for (const [mnemonic, forms] of sliced([...byMnemonic], 2)) {
      const list = forms.filter(({ info }) => typeof host === 'string' || host.has(info.feature))
      const note = skipNote(list.length > 0, `the host has no ${forms[0]!.info.feature}`)
      it.skipIf(list.length === 0)(`${mnemonic}: ${list.length} forms${note}`, () => {
        const failures: string[] = []
        for (const [i, subject] of list.entries()) {
          const result = compare(processor, ours, subject, slicedSeed(0x9e37_79b9) ^ (subject.info.code * 64 + i))
          failures.push(...result.failures)
          // Only 16-byte operands in memory fault, and then all that are misaligned.
          expect([0, CASES / 4], subject.name).toContain(result.faults)
          if (subject.memorySize < 16) expect(result.faults, subject.name).toBe(0)
        }
        expect(failures, SLICE_REPEAT).toEqual([])
      })
    }
  },
)
