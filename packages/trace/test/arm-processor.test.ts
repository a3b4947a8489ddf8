/** What an Arm processor tells of its state, read off PSTATE, INTIDs and halfwords. */
import type { ArmDomain } from '@retrap/hvm/arm'
import { expect, test } from 'vitest'
import { TracedArm } from '../src/arm.ts'
import { Blocks } from '../src/blocks.ts'
import type { TraceRecord } from '../src/index.ts'

interface Hooks {
  instruction?(): void
  event?(event: { kind: string; syndrome: number; address: bigint | undefined }): void
}
interface State {
  readonly pstate?: number
  readonly intid?: number
  readonly bytes?: readonly number[]
}

/** What is told of one processor in a state. */
function told({ pstate = 0, intid = 0, bytes = [] }: State, act: (hooks: Hooks) => void): TraceRecord[] {
  const records: TraceRecord[] = []
  let hooks: Hooks = {}
  const vcpu = {
    id: 2,
    processor: { registers: { pc: 0x1000n, pstate }, watch: (given: Hooks) => (hooks = given) },
    translation: {
      watch: null,
      peek: (_: bigint, into: Uint8Array) => {
        into.set(bytes)
        return bytes.length
      },
    },
  }
  const domain = { vcpus: [vcpu], architecture: { gic: { highestPending: () => intid } } }
  const blocks = new Blocks((block) => records.push(block))
  const place = (id: number) => ({ vcpu: id, ns: 0, hostMs: 0, instructions: 0, allInstructions: 0 })
  new TracedArm(domain as unknown as ArmDomain, {
    ...{ place, wants: () => true, tell: (_kind, _subject, make) => records.push(make()), blocks },
  }).watch(true, true, false)
  act(hooks)
  blocks.end()
  return records
}

// Arm ARM (DDI 0487), C5.2.18, "SPSR_EL1": M[4] is AArch32; M[3:2] the exception level of AArch64; T in bit 5.
test.each([
  { pstate: 0, mode: 'a64', cpl: 0 },
  { pstate: 0x4, mode: 'a64', cpl: 1 },
  { pstate: 0x5, mode: 'a64', cpl: 1 },
  { pstate: 0x9, mode: 'a64', cpl: 2 },
  { pstate: 0xd, mode: 'a64', cpl: 3 },
  { pstate: 0xf000_03c5, mode: 'a64', cpl: 1 },
  { pstate: 0x24, mode: 'a64', cpl: 1 },
  { pstate: 0x10, mode: 'a32', cpl: 0 },
  { pstate: 0x1f, mode: 'a32', cpl: 0 },
  { pstate: 0x30, mode: 't32', cpl: 0 },
  { pstate: 0xf000_003c, mode: 't32', cpl: 0 },
])('PSTATE $pstate is $mode at $cpl', ({ pstate, mode, cpl }) => {
  const bytes = [1, 2, 3, 4]
  const [insn] = told({ pstate, bytes }, (hooks) => hooks.instruction!())
  expect(insn).toMatchObject({ kind: 'insn', vcpu: 2, address: 0x1000n, bytes: Uint8Array.from(bytes), mode, cpl })
})

// F3.1, "T32 instruction set encoding": 0b11101, 0b11110 and 0b11111 begin an instruction of 32 bits.
test.each([
  { pstate: 0x30, bytes: [0, 0], length: 2 },
  { pstate: 0x30, bytes: [0xff, 0xe7, 0, 0], length: 2 },
  { pstate: 0x30, bytes: [0x00, 0xe8, 0, 0], length: 4 },
  { pstate: 0x30, bytes: [0xff, 0xff, 0, 0], length: 4 },
  { pstate: 0x30, bytes: [], length: 2 },
  { pstate: 0x10, bytes: [0, 0, 0, 0], length: 4 },
  { pstate: 0, bytes: [0, 0, 0, 0], length: 4 },
])('with PSTATE $pstate an instruction $bytes has $length bytes', ({ pstate, bytes, length }) => {
  const block = told({ pstate, bytes }, (hooks) => hooks.instruction!()).at(-1)
  expect(block).toMatchObject({ kind: 'block', address: 0x1000n, end: 0x1000n + BigInt(length), executed: 1 })
})

// GICv3 (IHI 0069), 2.2, "INTIDs".
test.each([
  [0, 'SGI 0'],
  [15, 'SGI 15'],
  [16, 'PPI 16'],
  [31, 'PPI 31'],
  [32, 'SPI 32'],
  [1019, 'SPI 1019'],
  [8192, 'LPI 8192'],
  [0xff_ffff, 'LPI 16777215'],
])('INTID %i is %s', (intid, source) => {
  const event = (kind: string) => told({ intid }, (hooks) => hooks.event!({ kind, syndrome: 0, address: undefined }))
  expect(event('irq')).toMatchObject([{ kind: 'irq', event: 'interrupt', vector: intid, source, address: 0x1000n }])
  expect(event('fiq')).toMatchObject([{ event: 'fiq', vector: intid, source }])
  // A system error has none.
  expect(event('serror')).toMatchObject([{ event: 'serror', vector: -1, source: 'serror' }])
})

test.each([1020, 1021, 1022, 1023, 8191])('INTID %i is of no interrupt', (intid) => {
  const event = told({ intid }, (hooks) => hooks.event!({ kind: 'irq', syndrome: 0, address: undefined }))
  expect(event).toMatchObject([{ event: 'interrupt', vector: -1, source: 'irq' }])
})

test('an exception has the class in the upper six bits of its syndrome', () => {
  const syndrome = 0x9600_0045
  const [record] = told({ pstate: 5 }, (hooks) => hooks.event!({ kind: 'exception', syndrome, address: 0x123n }))
  expect(record).toMatchObject({ kind: 'exceptions', vector: 0x25, syndrome, far: 0x123n, cpl: 1 })
})
