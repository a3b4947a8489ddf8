import { ax, cx, dword, eax, ebx, ecx, ds, edx, es, fs, gs, word } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { initialState } from '../support/bare-cpu.ts'
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
