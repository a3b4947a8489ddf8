/** Locked instructions, while another thread changes their operands. */
import { Worker } from 'node:worker_threads'
import * as a from '@retrap/x86-assembler'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { afterEach, expect, test } from 'vitest'
import { BareCpu } from './support/bare-cpu.ts'

const ROUNDS = 100_000
const DATA = 0x4000
/** Offset of the words by which the other thread is told to stop, and tells that it has begun and how often it has added. */
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

const SIZES = [
  { bits: 8, operand: a.byte(DATA), scratch: a.dl, accumulator: a.al, sum: a.r8b },
  { bits: 16, operand: a.word(DATA + 0x40), scratch: a.dx, accumulator: a.ax, sum: a.r9w },
  { bits: 32, operand: a.dword(DATA + 0x80), scratch: a.edx, accumulator: a.eax, sum: a.r10d },
  { bits: 64, operand: a.qword(DATA + 0xc0), scratch: a.rdx, accumulator: a.rax, sum: a.r11 },
] as const
/** Names of the registers in which the sums end. */
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
    for (const { operand, scratch, accumulator, sum } of SIZES as unknown as readonly Record<string, never>[]) {
      // Five of them add 1, others nothing.
      asm.lock().add(operand!, 1).lock().inc(operand!).lock().sub(operand!, -1)
      asm.mov(scratch!, 1).lock().xadd(operand!, scratch!)
      asm
        .lock()
        .or(operand!, 0)
        .lock()
        .and(operand!, -1)
        .lock()
        .xor(operand!, 0)
        .lock()
        .dec(operand!)
        .lock()
        .adc(operand!, 1)
      const again = asm.mov(accumulator!, operand!).here()
      asm.mov(scratch!, accumulator!).inc(scratch!).lock().cmpxchg(operand!, scratch!).jne(again)
      // What is there moves to a register.
      asm.xor(scratch!, scratch!).xchg(operand!, scratch!).add(sum!, scratch!)
    }
    asm.dec(a.ecx).jne(round).hlt()
  })
  for (const name of SUMS) pc.setRegister(name, 0)
  pc.rip = 0x1000
  const at = pc.host.ramMa + DATA
  const { buffer } = pc.memory
  const words = new Int32Array(buffer, at + WORDS)
  worker = new Worker(OTHER, { eval: true, workerData: { buffer, at } })
  while (Atomics.load(words, 1) === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(pc.cpu.run(1e9).reason).toBe('hlt')
  Atomics.store(words, 0, 1)
  while (Atomics.load(words, 2) === 0) await new Promise((resolve) => setImmediate(resolve))
  const others = Atomics.load(words, 1)
  expect(others).toBeGreaterThan(1000)
  const view = new DataView(buffer, at)
  const left = [view.getUint8(0), view.getUint16(0x40, true), view.getUint32(0x80, true), view.getBigUint64(0xc0, true)]
  for (const [i, { bits }] of SIZES.entries()) {
    const total = pc.register(SUMS[i]!) + BigInt(left[i]!)
    expect(BigInt.asUintN(bits, total), `of ${bits} bits`).toBe(BigInt.asUintN(bits, BigInt(5 * ROUNDS + others)))
  }
})
