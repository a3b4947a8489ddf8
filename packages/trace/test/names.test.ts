/** What exceptions and accesses are called in a trace. */
import { createIoRequest, IOREQ_READ, IOREQ_TYPE_PIO } from '@retrap/ioreq'
import { describe, expect, test } from 'vitest'
import { describeRecord, exceptionName } from '../src/text.ts'

describe('classes of Arm’s exceptions', () => {
  // Arm ARM (DDI 0487), "ESR_EL1", field EC.
  const NAMES: Readonly<Record<number, string>> = {
    0x00: 'undefined instruction',
    0x07: 'floating point',
    0x0d: 'branch target',
    0x0e: 'illegal state',
    0x18: 'system register',
    0x20: 'instruction abort',
    0x21: 'instruction abort',
    0x22: 'PC alignment',
    0x24: 'data abort',
    0x25: 'data abort',
    0x26: 'SP alignment',
    0x30: 'breakpoint',
    0x31: 'breakpoint',
    0x32: 'software step',
    0x33: 'software step',
    0x34: 'watchpoint',
    0x35: 'watchpoint',
    0x38: 'BKPT',
    0x3c: 'BRK',
  }

  test.each(Array.from({ length: 64 }, (_, vector) => vector))('%i', (vector) => {
    expect(exceptionName({ vector, syndrome: 0 })).toBe(NAMES[vector] ?? `class 0x${vector.toString(16)}`)
  })
})

// SDM vol. 3A, "Exception and Interrupt Reference".
test('exceptions of x86', () => {
  const names = Array.from({ length: 23 }, (_, vector) => exceptionName({ vector }))
  expect(names.join(' ')).toBe(
    '#DE #DB NMI #BP #OF #BR #UD #NM #DF 9 #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM #VE #CP 22',
  )
})

test('an access names its device and not its vCPU, and says how long it has waited', () => {
  const request = { ...createIoRequest(), type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo: 0x61, size: 1 }
  const access = { event: 'done', server: 'devices', device: 'PIT', vcpu: 3, request, lo: 0x20, hi: 0 } as const
  const place = { vcpu: 3, ns: 0, instructions: 0, allInstructions: 0, hostMs: 0 }
  const record = { kind: 'ioreq', ...place, code: undefined, waitedMs: undefined, access } as const
  expect(describeRecord(record)).toMatch(/^ioreq PIT done: .* = 0x20$/)
  expect(describeRecord({ ...record, waitedMs: 1.25 })).toMatch(/ = 0x20 after 1\.250 ms$/)
})
