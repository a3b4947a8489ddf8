/** What stays hot in the first tier is compiled by the second. */
import { ecx, edx, rax, rbx, rcx, rdi } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { BareCpu } from '../support/bare-cpu.ts'

/** Instructions of a round, and rounds: more instructions than a unit executes before it is one that lasts. */
const ROUND = 3
const ROUNDS = 9_000_000
const TURN = 1_000_000

/** Runs a long loop in turns. @returns the sizes of the modules that were compiled */
function loop(jit: false | { readonly tier: 1 | 2 }): { pc: BareCpu; modules: number[] } {
  const modules: number[] = []
  const onCode = ({ module }: { readonly module: Uint8Array }): void => void modules.push(module.length)
  const pc = new BareCpu({ jit: jit !== false && { ...jit, threshold: 100, onCode } })
  pc.program((asm) => {
    const again = asm.label()
    asm.mov(ecx, ROUNDS).bind(again).add(rax, rcx).dec(ecx).jne(again).hlt()
  })
  while (!pc.cpu.halted) pc.run(TURN)
  return { pc, modules }
}

test('a loop of many millions of instructions is compiled again, and goes on as it was', () => {
  expect(ROUND * ROUNDS).toBeGreaterThan(25_000_000)
  const plain = loop(false)
  const first = loop({ tier: 1 })
  const second = loop({ tier: 2 })
  expect(second.modules).toHaveLength(1)
  // The last module is the one that the second tier makes at once.
  expect(first.modules.length).toBeGreaterThan(1)
  expect(first.modules[0]).not.toBe(second.modules[0])
  expect(first.modules.at(-1)).toBe(second.modules[0])
  for (const { pc } of [first, second]) {
    expect(pc.register('rax')).toBe(plain.pc.register('rax'))
    expect(pc.cpu.retired).toBe(plain.pc.cpu.retired)
    expect(pc.engine.jitCounts?.failures).toBe(0)
  }
})

/** A page with a loop that calls a function, which goes on at RDI: and the same page once more. */
const PAGES = [0x2_0000, 0x2_1000] as const
const FUNCTION = 0x100
const FIRST_TARGET = 0x200
const SECOND_TARGET = 0x300

/** Calls a place some times. */
function callPlace(asm: Assembler, address: number, target: number, times: number): void {
  const again = asm.label()
  asm.mov(edx, times).bind(again).mov(rdi, target).mov(rbx, address).call(rbx).dec(edx).jne(again)
}

function prepareCopies(pc: BareCpu, rounds: number): void {
  for (const page of PAGES) {
    pc.program((asm) => {
      const [again, place] = [asm.label('again'), asm.label('place')]
      asm.bind(again).call(place).dec(ecx).jne(again).ret()
      asm.align(FUNCTION).bind(place).add(rax, rcx).jmp(rdi)
      asm.align(FUNCTION).imul(rax, rax, 3).ret()
      asm.align(FUNCTION).xor(rax, 0x55).ret()
    }, page)
  }
  pc.program((asm) => {
    const [one, other] = PAGES
    asm.mov(ecx, 300)
    callPlace(asm, one, one + FIRST_TARGET, 1)
    asm.mov(ecx, 300)
    callPlace(asm, other, other + FIRST_TARGET, 1)
    asm.mov(ecx, rounds)
    callPlace(asm, one, one + FIRST_TARGET, 1)
    callPlace(asm, one + FUNCTION, one + SECOND_TARGET, 60)
    asm.mov(ecx, 60)
    callPlace(asm, other, other + SECOND_TARGET, 1)
    asm.hlt()
  })
}

test('code that is better for one entry of a unit is not taken for the beginning of a copy of it', () => {
  const run = (jit: false | { readonly tier: 1 }): BareCpu => {
    const pc = new BareCpu({ jit: jit !== false && { ...jit, threshold: 100, watch: 0 } })
    prepareCopies(pc, 8_000_000)
    while (!pc.cpu.halted) pc.run(TURN)
    return pc
  }
  const plain = run(false)
  const first = run({ tier: 1 })
  expect(first.register('rax')).toBe(plain.register('rax'))
  expect(first.cpu.retired).toBe(plain.cpu.retired)
})
