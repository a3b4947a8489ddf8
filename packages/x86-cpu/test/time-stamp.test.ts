/** RDTSC and RDTSCP in generated code: compared with their handlers, and in compiled code. */
import { edi, r8, rax, rcx, rdi, rdx } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { plainForm } from '../src/state/form.ts'
import * as S from '../src/state/state-layout.ts'
import { handlers } from '../src/system/handlers.ts'
import { BareCpu, CODE, initialState } from './support/bare-cpu.ts'
import { systemOf, unlessFault } from './support/handlers.ts'
import { runBothWays } from './support/both-ways.ts'

const SEED = slicedSeed(20_261_126)
const RUNS = slicedCount(400, 5)
const CR4_TSD = 4
const RDTSC = [0x0f, 0x31]
const RDTSCP = [0x0f, 0x01, 0xf9]

interface Given {
  readonly cpl: number
  readonly isRestricted: boolean
  readonly time: number
  readonly offset: bigint
  readonly aux: bigint
  readonly registers: readonly bigint[]
}

const any64 = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)
const given: fc.Arbitrary<Given> = fc.record({
  cpl: fc.constantFrom(0, 3),
  isRestricted: fc.boolean(),
  time: fc.oneof(fc.nat(0xffff_ffff), fc.maxSafeNat()),
  offset: fc.oneof(fc.constant(0n), any64),
  aux: any64,
  registers: fc.tuple(any64, any64, any64),
})

function prepare(pc: BareCpu, code: readonly number[], state: Given): void {
  const { u32, u64 } = pc.cpu
  pc.cpu.reset(true)
  pc.cpu.load(initialState('long'))
  // A turn ends with a jump to another page.
  pc.load(CODE, [...code, 0xe9, 0, 0x10, 0, 0])
  for (const segment of [S.CS, S.SS])
    u32[(S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_ATTRIBUTES) >>> 2]! |= state.cpl << 5
  u32[S.S_CR4 >>> 2]! |= state.isRestricted ? CR4_TSD : 0
  u64[S.S_TSC_OFFSET >>> 3] = state.offset
  u64[S.S_TSC_AUX >>> 3] = state.aux
  pc.host.nanoseconds = state.time
  for (const [i, name] of (['rax', 'rcx', 'rdx'] as const).entries()) pc.setRegister(name, state.registers[i]!)
  pc.cpu.modeChanged()
}

const outcome = (pc: BareCpu): object => [...pc.cpu.registers.general]

/** The instruction by its handler. @returns undefined if it faults */
function byHandler(pc: BareCpu, mnemonic: string): object | undefined {
  return unlessFault(() => {
    expect(handlers[mnemonic]!(systemOf(pc), 0, plainForm(mnemonic, 0))).toBe(S.STATUS_DONE)
    return outcome(pc)
  })
}

test.each([
  ['RDTSC', RDTSC],
  ['RDTSCP', RDTSCP],
])(`%s does the same in generated code and by its handler (seed ${SEED})`, (mnemonic, code) => {
  const [generated, reference] = [new BareCpu({ jit: false }), new BareCpu({ jit: false })]
  fc.assert(
    fc.property(given, (state) => {
      prepare(reference, code, state)
      prepare(generated, code, state)
      const expected = byHandler(reference, mnemonic)
      const { systemCalls, faults } = generated.cpu.counts
      generated.run(1)
      expect(generated.cpu.counts.faults > faults).toBe(expected === undefined)
      if (expected === undefined) return
      expect(outcome(generated)).toEqual(expected)
      expect(generated.cpu.counts.systemCalls).toBe(systemCalls)
    }),
    { seed: SEED, numRuns: RUNS },
  )
})

test('compiled code reads the time, and goes on', () => {
  const ROUNDS = 60
  const [plain] = runBothWays({
    code: (asm) => {
      const again = asm.label()
      asm.mov(edi, ROUNDS).bind(again).rdtsc().add(r8, rax).rdtscp().add(r8, rcx).add(r8, rdx).dec(rdi).jne(again).hlt()
    },
    prepare: (pc) => {
      pc.host.nanoseconds = 0x1_0000_0003
      pc.cpu.u32[S.S_TSC_AUX >>> 2] = 7
    },
  })
  // The low word, once, TSC_AUX, and the high word.
  expect(plain.register('r8')).toBe(BigInt(ROUNDS * (3 + 7 + 1)))
  expect(plain.cpu.counts.systemCalls).toBe(1)
})
