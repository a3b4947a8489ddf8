/** Repeated string instructions in compiled code: units call the interpreter's functions, and go on after them. */
import { dword, eax, ebx, ecx, edi, edx, esi, ptr } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import type { BareCpu } from '../support/bare-cpu.ts'
import { bothWays, expectAlike, patiently, runBothWays } from '../support/both-ways.ts'

const test = sliceTests(5)

const DATA = 0x2_0000
const ROUNDS = 200
const WORDS = 128

const REPEATED: Readonly<Record<string, (asm: Assembler) => void>> = {
  'REP MOVSB': (asm) => asm.rep().movsb(),
  'REP MOVSD': (asm) => asm.rep().movsd(),
  'REP STOSB': (asm) => asm.rep().stosb(),
  'REP STOSD': (asm) => asm.rep().stosd(),
  'REP LODSB': (asm) => asm.rep().lodsb(),
  'REPE CMPSB': (asm) => asm.repe().cmpsb(),
  'REPNE SCASB': (asm) => asm.repne().scasb(),
}

/** A loop of a string instruction with counts from 0 to 63; the strings come closer to each other, and overlap. */
function loop(asm: Assembler, repeated: (asm: Assembler) => void): void {
  const again = asm.label('again')
  asm.mov(edx, ROUNDS).bind(again)
  asm
    .mov(ecx, edx)
    .and(ecx, 63)
    .mov(esi, DATA)
    .lea(edi, ptr(edx, { disp: DATA - ROUNDS / 2 }))
  asm.mov(eax, edx).imul(eax, eax, 0x0101_0101).cmp(eax, ebx)
  repeated(asm)
  // The flags of a comparison are those of its last element, or of the CMP before it.
  asm
    .adc(ebx, eax)
    .rol(ebx, 3)
    .add(ebx, esi)
    .xor(ebx, edi)
    .add(ebx, dword(DATA + 64))
  asm.dec(edx).jne(again).hlt()
}

function fill(pc: BareCpu): void {
  for (let i = 0; i < WORDS; i++) pc.write64(DATA - 512 + 8 * i, BigInt(i % 9) * 0x0102_0304_0506_0708n)
}

describe.each(['long', 'protected'] as const)('in %s mode', (mode) => {
  describe.each(Object.entries(REPEATED))('%s', (_name, repeated) => {
    const program = { mode, code: (asm: Assembler) => loop(asm, repeated), prepare: fill }

    test('does the same as interpreted, without an exit of the unit', () => {
      const [, compiled] = runBothWays({ ...program, jit: { ...EAGER_JIT, misses: 1 } })
      const { exits, executed } = compiled.engine.jitCounts!
      // HLT.
      expect(exits.system).toBe(1)
      expect(exits.handler).toBe(0)
      expect(executed).toBeGreaterThan(0.8 * compiled.cpu.retired)
      // Iterations are not instructions.
      expect(executed).toBeLessThan(compiled.cpu.retired)
    })

    test.each([1, 7, 100])('ends turns of %d at the same places', (budget) => {
      const pair = bothWays(program)
      let ended = false
      for (let turn = 0; !ended; turn++) {
        const [plain, compiled] = pair.map((pc) => ({ reason: patiently(pc, budget), cost: pc.cpu.cost, rip: pc.rip }))
        expect(compiled).toEqual(plain)
        ended = plain!.reason === 'hlt'
        expect(turn).toBeLessThan(20_000)
      }
      expectAlike(pair)
    })
  })
})
