/** Which instructions are one block. */
import { expect, test } from 'vitest'
import { Blocks } from '../src/blocks.ts'
import type { BlockRecord, InstructionRecord } from '../src/index.ts'

type Step = Partial<Pick<InstructionRecord, 'vcpu' | 'address' | 'mode' | 'cpl'>> & { readonly bytes?: number }

/** The blocks of some instructions, each as its vCPU, addresses and count. */
function blocksOf(steps: readonly (Step | { readonly interrupts: number })[]): readonly string[] {
  const told: BlockRecord[] = []
  const blocks = new Blocks((block) => told.push(block))
  let instructions = 0
  for (const step of steps) {
    if ('interrupts' in step) blocks.interrupt(step.interrupts)
    else {
      const { vcpu = 0, address = 0x1000n, mode = 32, cpl = 0, bytes = 2 } = step
      const place = { vcpu, ns: 7, hostMs: 0, instructions, allInstructions: instructions++ }
      blocks.add({ ...place, address, mode, cpl }, () => bytes)
    }
  }
  blocks.end()
  return told.map(
    ({ vcpu, address, end, executed, cpl, instructions }) =>
      `${vcpu}: ${address.toString(16)}-${end.toString(16)} ${executed} at ${cpl} after ${instructions}`,
  )
}

test.each<{ readonly what: string; readonly second: Step; readonly are: readonly string[] }>([
  { what: 'an instruction behind another', second: { address: 0x1002n }, are: ['0: 1000-1005 2 at 0 after 0'] },
  {
    what: 'one elsewhere',
    second: { address: 0x1001n },
    are: ['0: 1000-1002 1 at 0 after 0', '0: 1001-1004 1 at 0 after 1'],
  },
  {
    what: 'another privilege level alone',
    second: { address: 0x1002n, cpl: 3 },
    are: ['0: 1000-1002 1 at 0 after 0', '0: 1002-1005 1 at 3 after 1'],
  },
  {
    what: 'another mode alone',
    second: { address: 0x1002n, mode: 16 },
    are: ['0: 1000-1002 1 at 0 after 0', '0: 1002-1005 1 at 0 after 1'],
  },
  {
    what: 'another vCPU',
    second: { address: 0x1002n, vcpu: 1 },
    are: ['0: 1000-1002 1 at 0 after 0', '1: 1002-1005 1 at 0 after 1'],
  },
])('$what', ({ second, are }) => {
  expect(blocksOf([{}, { ...second, bytes: 3 }])).toEqual(are)
})

test('an event ends the block of its vCPU alone', () => {
  const next = { address: 0x1002n }
  expect(blocksOf([{}, { vcpu: 1 }, { interrupts: 1 }, { interrupts: 2 }, next, { ...next, vcpu: 1 }])).toEqual([
    '1: 1000-1002 1 at 0 after 1',
    '0: 1000-1004 2 at 0 after 0',
    '1: 1002-1004 1 at 0 after 3',
  ])
})
