// Units that a frame has got from another one with the same bytes: its own writes end them, and its own state decides.
import { al, byte, eax, ebx, ecx, edx } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { BareCpu } from '../support/bare-cpu.ts'

const JIT = { threshold: 50, fewestInstructions: 1 }
/** Where the code is that is compiled, and a copy of it. */
const ORIGINAL = 0x5000
const COPY = 0x7000
const PORT = 0x80

/** A loop that goes by way of an arm where EDX is not zero; the arm sets EAX to 1. */
function routine(armAt: number, tailAt: number): (asm: Assembler) => void {
  return (asm) => {
    const [again, arm, end] = [asm.label('again'), asm.label('arm'), asm.label('end')]
    asm.bind(again).test(edx, edx).jnz(arm).jmp(end)
    const putArm = (): Assembler => asm.org(armAt).bind(arm).mov(eax, 1).jmp(end)
    const putTail = (): Assembler => asm.org(tailAt).bind(end).dec(ecx).jnz(again).ret()
    for (const put of armAt < tailAt ? [putArm, putTail] : [putTail, putArm]) put()
  }
}

function call(asm: Assembler, at: number, arm: 0 | 1, rounds: number): void {
  asm.xor(eax, eax).mov(edx, arm).mov(ecx, rounds).mov(ebx, at)
  // call rbx
  asm.db(0xff, 0xd3)
}

/** Runs a program over both copies, interpreted and compiled. @returns RAX of both */
function results(armAt: number, code: (asm: Assembler) => void): bigint[] {
  return [false as const, JIT].map((jit) => {
    const pc = new BareCpu({ jit })
    for (const at of [ORIGINAL, COPY]) pc.program(routine(at + armAt, at + 0x200), at)
    pc.program((asm) => {
      code(asm)
      asm.hlt()
    })
    // What writes to memory besides the processor: a device.
    pc.host.ports.set(PORT, { read: () => 0n, write: () => (pc.load(COPY + armAt + 1, [2]), true) })
    expect(pc.run(1_000_000).reason).toBe('hlt')
    return pc.register('rax')
  })
}

describe('a write to code that only the original has executed', () => {
  test.each([
    { by: 'a store', write: (asm: Assembler) => asm.mov(byte(COPY + 0x101), 2) },
    { by: 'a device', write: (asm: Assembler) => asm.out(PORT, al) },
  ])('by $by, ends the unit of the copy', ({ write }) => {
    const found = results(0x100, (asm) => {
      call(asm, ORIGINAL, 1, 200)
      call(asm, COPY, 0, 200)
      write(asm)
      call(asm, COPY, 1, 1)
    })
    expect(found).toEqual([2n, 2n])
  })

  test('is seen in a page that has lost its code before', () => {
    const found = results(0x1000, (asm) => {
      call(asm, ORIGINAL, 1, 5)
      call(asm, ORIGINAL, 0, 200)
      call(asm, COPY, 1, 1)
      // So many writes beside code that the page counts as data.
      asm.mov(ecx, 300)
      const again = asm.here()
      asm
        .mov(byte(COPY + 0x1800), 2)
        .dec(ecx)
        .jnz(again)
      call(asm, COPY, 0, 200)
      asm.mov(byte(COPY + 0x1001), 2)
      call(asm, COPY, 1, 1)
    })
    expect(found).toEqual([2n, 2n])
  })
})

test.each([0x900, 0x8f0])('code that assumes another base of CS is not revived: %i', (segment) => {
  const pc = new BareCpu({ jit: JIT, mode: 'real' })
  // again: call add; dec cx; jnz again; retf; add: inc ax; ret
  const code = [0xe8, 0x04, 0x00, 0x49, 0x75, 0xfa, 0xcb, 0x40, 0xc3]
  for (const at of [0x5000, 0x9000]) pc.load(at, code)
  const ip = 0x9000 - segment * 16
  pc.program((asm) => {
    // mov cx, 1000; call 0500:0000; mov cx, 10000; call segment:ip; hlt
    asm.db(0xb9, 0xe8, 0x03, 0x9a, 0, 0, 0x00, 0x05)
    asm.db(0xb9, 0x10, 0x27, 0x9a, ip & 0xff, ip >> 8, segment & 0xff, segment >> 8, 0xf4)
  })
  expect(pc.run(1_000_000).reason).toBe('hlt')
  const { exits, executed } = pc.engine.jitCounts!
  expect(exits.guard).toBeLessThan(100)
  expect(executed).toBeGreaterThan(40_000)
})
