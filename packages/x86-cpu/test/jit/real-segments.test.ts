import { ax, cx, dword, eax, ebx, ecx, ds, edx, es, fs, gs, word } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { BareCpu, initialState } from '../support/bare-cpu.ts'
import { runBothWays } from '../support/both-ways.ts'

test('segments that real mode loads have their base and their limit, and loads stay in compiled code', () => {
  const [, compiled] = runBothWays({
    mode: 'real',
    code: (asm) => {
      const loop = asm.label('loop')
      asm.mov(ecx, 5000).mov(ebx, 0x4000).bind(loop)
      // Loads from a register and from memory; what a register holds is read back.
      asm
        .mov(eax, ecx)
        .and(eax, 0x7f)
        .mov(es, ax)
        .mov(dword(ebx, { segment: es }), ecx)
      asm.mov(word(0x3ff0), cx).mov(fs, word(0x3ff0)).mov(edx, fs).add(dword(ebx), edx)
      asm.mov(gs, ax).mov(word(ebx, { segment: gs, disp: 2 }), gs)
      asm.dec(ecx).jne(loop).hlt()
    },
  })
  expect(compiled.engine.jitCounts!.exits.rare).toBeLessThan(10)
})

test('a segment that real mode loads keeps a limit of protected mode, and one that cannot be used gets 64 KiB', () => {
  runBothWays({
    mode: 'real',
    code: (asm) => {
      const loop = asm.label('loop')
      asm.mov(ecx, 300).mov(ebx, 0x1_4000).bind(loop)
      asm.mov(eax, ecx).and(eax, 7).mov(es, ax).mov(ds, ax)
      asm.mov(dword(ebx, { segment: es }), ecx).mov(edx, dword(0x4000))
      asm.dec(ecx).jne(loop).hlt()
    },
    prepare: ({ cpu }) => {
      const state = initialState('real')
      const { segments } = state
      const big = { ...segments.es, limit: 0xffff_ffff }
      const none = { ...segments.ds, attributes: 0 }
      cpu.load({ ...state, segments: { ...segments, es: big, ds: none } })
    },
  })
})

/** Code at offsets in a segment: loops in a page, a call, and branches over both ends of the 64 KiB. */
const WRAPPING: readonly (readonly [offset: number, bytes: readonly number[]])[] = [
  [0x05, [0x43, 0xeb, 0xf0]], // inc bx; jmp short fff8
  [0x0c, [0x4e, 0x75, 0x31, 0xf4]], // dec si; jnz 40; hlt
  [0x40, [0xb9, 0x14, 0x00, 0x47, 0xf7, 0xc7, 0x01, 0x00, 0x74, 0x01, 0x45, 0xe2, 0xf6]], // mov cx, 20; 43: inc di; test di, 1; jz 4b; inc bp; 4b: loop 43
  [0x4d, [0xe8, 0x10, 0x00, 0xe9, 0xb2, 0xff]], // call 60; jmp 5
  [0x60, [0xc3]],
  [0xfff8, [0x42, 0xeb, 0x11]], // inc dx; jmp short c
]

describe.each([0x2_0000, 0x2_0340, 0x2_0f40])('16-bit branches in a segment at %i', (base) => {
  const prepare = (pc: BareCpu): void => {
    for (const [offset, bytes] of WRAPPING) pc.load(base + offset, bytes)
    const state = initialState('real')
    const { segments } = state
    pc.cpu.load({ ...state, segments: { ...segments, cs: { ...segments.cs, base, selector: base >>> 4 } } })
    pc.rip = 0x40
    pc.setRegister('rsi', 100n)
    pc.setRegister('rsp', 0x8000n)
  }
  const REGISTERS = ['rbx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'] as const

  test('wrap at 64 KiB, among others as one by one', () => {
    const pair = runBothWays({ mode: 'real', code: (asm) => asm.hlt(), prepare })
    const alone = new BareCpu({ jit: false, mode: 'real' })
    prepare(alone)
    for (let i = 0; i < 100_000 && alone.cpu.step().reason === 'budget'; i++) continue
    for (const pc of [...pair, alone]) {
      expect(REGISTERS.map((name) => pc.register(name))).toEqual([100n, 100n, 0n, 2000n, 1000n, 0x8000n])
      expect(pc.cpu.retired).toBe(alone.cpu.retired)
    }
  })
})
