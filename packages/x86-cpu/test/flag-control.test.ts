import { eax, ecx, esp, dword, rcx, ss } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { BareCpu } from './support/bare-cpu.ts'
import { expectHalt } from './support/with-bare-cpu.ts'

const SEED = 20_261_122
const ARITHMETIC = 0x8d5
/** IF, DF and the arithmetic flags: what generated code pops. TF would trap, IOPL, NT, AC and ID are the handler's. */
const OFTEN = ARITHMETIC | 0x600
const RARE = 0x27_7000

describe('PUSHF and POPF at privilege level 0 (SDM vol. 2B)', () => {
  test.each(['protected', 'long'] as const)(`%s mode: what is popped is what is pushed (seed ${SEED})`, (mode) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(0xffff_ffff), fc.boolean()), { minLength: 1, maxLength: 6 }), (images) => {
        const pc = new BareCpu({ mode })
        const kept: number[] = []
        pc.program((asm) => {
          images.forEach(([bits, rare], i) => {
            const image = bits & (rare ? OFTEN | RARE : OFTEN)
            // RF and VM are popped as 0.
            kept.push((image & ~0x3_0000) | 2)
            asm.push(image | 0)
            if (mode === 'long') asm.popfq().pushfq()
            else asm.popfd().pushfd()
            // Also after an operation whose flags are not computed yet.
            asm.mov(ecx, dword(esp)).mov(dword(0x6000 + 4 * i), ecx)
            if (mode === 'long') asm.popfq()
            else asm.popfd()
          })
          asm.push(2)
          if (mode === 'long') asm.popfq()
          else asm.popfd()
          asm.hlt()
        })
        expect(pc.run().reason).toBe('hlt')
        expect(images.map((_, i) => pc.read32(0x6000 + 4 * i))).toEqual(kept.map((value) => value >>> 0))
      }),
      { seed: SEED, numRuns: slicedCount(40, 4) },
    )
  })

  test('64-bit mode does not ask SS, which may be null', () => {
    const pc = new BareCpu({ mode: 'long' })
    pc.program((asm) => asm.xor(eax, eax).mov(ss, eax).push(0x403).popfq().pushfq().pop(rcx).push(2).popfq().hlt())
    expectHalt(pc, { rcx: 0x403n })
  })

  test('lazy flags are pushed as they are, and popped flags decide a branch', () => {
    const pc = new BareCpu({ mode: 'protected' })
    pc.program((asm) => {
      const wrong = asm.label()
      asm.mov(eax, 0x7fff_ffff).add(eax, 1).pushfd().xor(eax, eax).popfd()
      asm.jno(wrong).jz(wrong).jns(wrong).mov(ecx, 7).hlt()
      asm.bind(wrong).hlt()
    })
    expectHalt(pc, { rcx: 7n })
  })

  test('a POPF that sets IF lets an interrupt in before the next instruction', () => {
    const pc = new BareCpu()
    pc.program((asm) => asm.mov(ecx, eax).iretq(), 0x4000)
    pc.vector(0x30, 0x4000)
    pc.program((asm) => asm.mov(eax, 1).push(0x202).popfq().mov(eax, 2).hlt())
    pc.interrupt(0x30)
    expectHalt(pc, { rcx: 1n })
  })
})
