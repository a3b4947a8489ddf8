/** What stays hot in the first tier is compiled by the second. */
import { ecx, rax, rcx } from '@retrap/x86-assembler'
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
    const again = asm.label('again')
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
