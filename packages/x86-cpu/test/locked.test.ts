/** Locked instructions, while another thread changes their operands. */
import { Worker } from 'node:worker_threads'
import * as a from '@retrap/x86-assembler'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { afterEach, expect, test } from 'vitest'
import { BareCpu } from './support/bare-cpu.ts'

const ROUNDS = 20_000
const DATA = 0x4000
/** Offset of the words by which the other thread is told to stop, and tells how often it has added, and that it has ended. */
const WORDS = 0x200

/** Adds 1 to an operand of each size, which all have lines of their own. */
const OTHER = `const { buffer, at } = require('node:worker_threads').workerData
const [one, two, four, eight] = [Uint8Array, Uint16Array, Uint32Array, BigUint64Array].map((View, i) => new View(buffer, at + 0x40 * i))
const words = new Int32Array(buffer, at + ${WORDS})
for (let done = 1; Atomics.load(words, 0) === 0; done++) {
  for (const view of [one, two, four]) Atomics.add(view, 0, 1)
  Atomics.add(eight, 0, 1n)
  Atomics.store(words, 1, done)
}
Atomics.store(words, 2, 1)`

/** An operand of each size, and registers: for the new value, the compared one, and the sum of what was taken away. */
const OPERANDS = [
  [a.byte(DATA), a.dl, a.al, a.r8b],
  [a.word(DATA + 0x40), a.dx, a.ax, a.r9w],
  [a.dword(DATA + 0x80), a.edx, a.eax, a.r10d],
  [a.qword(DATA + 0xc0), a.rdx, a.rax, a.r11],
] as unknown as readonly (readonly [operand: never, value: never, compared: never, sum: never])[]
const SUMS = ['r8', 'r9', 'r10', 'r11'] as const

let worker: Worker | undefined
afterEach(() => worker?.terminate())

test.each([
  ['interpreted', false],
  ['compiled', EAGER_JIT],
] as const)('no addition of another thread is lost, %s', { timeout: 60_000 }, async (_name, jit) => {
  const pc = new BareCpu({ jit, shared: true })
  pc.program((asm) => {
    const round = asm.mov(a.ecx, ROUNDS).here()
    for (const [operand, value, compared, sum] of OPERANDS) {
      // Five of them add 1, others nothing; two miss the TLB.
      asm.invlpg(operand).lock().add(operand, 1).lock().inc(operand).lock().sub(operand, -1)
      asm
        .lock()
        .or(operand, 0)
        .lock()
        .and(operand, -1)
        .lock()
        .xor(operand, 0)
        .lock()
        .dec(operand)
        .lock()
        .adc(operand, 1)
      const again = asm.mov(value, 1).lock().xadd(operand, value).mov(compared, operand).here()
      asm.mov(value, compared).inc(value).lock().cmpxchg(operand, value).jne(again)
      // What is there moves to a register.
      asm.invlpg(operand).xor(value, value).xchg(operand, value).add(sum, value)
    }
    asm.dec(a.ecx).jne(round).hlt()
  })
  for (const name of SUMS) pc.setRegister(name, 0)
  pc.rip = 0x1000
  const { buffer } = pc.memory
  const at = pc.host.ramMa + DATA
  const words = new Int32Array(buffer, at + WORDS)
  worker = new Worker(OTHER, { eval: true, workerData: { buffer, at } })
  while (Atomics.load(words, 1) === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(pc.cpu.run(1e9).reason).toBe('hlt')
  Atomics.store(words, 0, 1)
  while (Atomics.load(words, 2) === 0) await new Promise((resolve) => setImmediate(resolve))
  const added = BigInt(5 * ROUNDS + Atomics.load(words, 1))
  const found = SUMS.map((name, i) => BigInt.asUintN(8 << i, pc.register(name) + pc.read64(DATA + 0x40 * i)))
  expect(found).toEqual(SUMS.map((_, i) => BigInt.asUintN(8 << i, added)))
})
