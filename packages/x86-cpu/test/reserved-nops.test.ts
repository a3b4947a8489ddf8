import { rax, rbx } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { BareCpu } from './support/bare-cpu.ts'

/** What programs run without asking CPUID, because older processors take it for a no-op. */
describe('reserved no-ops without their feature (SDM vol. 2, opcode map, "0F 18" to "0F 1F")', () => {
  test.each([
    { name: 'RDSSPQ', bytes: [0xf3, 0x48, 0x0f, 0x1e, 0xc8] },
    { name: 'RDSSPD', bytes: [0xf3, 0x0f, 0x1e, 0xc8] },
    { name: 'ENDBR64', bytes: [0xf3, 0x0f, 0x1e, 0xfa] },
    { name: 'CLDEMOTE', bytes: [0x0f, 0x1c, 0x03] },
    { name: 'PREFETCHIT1', bytes: [0x0f, 0x18, 0x35, 0, 0, 0, 0] },
    { name: 'PREFETCHWT1', bytes: [0x0f, 0x0d, 0x13] },
    { name: 'BNDMK', bytes: [0xf3, 0x0f, 0x1b, 0x00] },
    { name: 'BNDMOV', bytes: [0x66, 0x0f, 0x1a, 0xc1] },
    { name: 'NOP r/m64 of group 0F 19', bytes: [0x48, 0x0f, 0x19, 0xc8] },
    { name: 'WBNOINVD', bytes: [0xf3, 0x0f, 0x09] },
  ])('$name changes nothing', ({ bytes }) => {
    const pc = new BareCpu({ mode: 'long' })
    pc.program((asm) => {
      asm.mov(rax, 0x1122_3344_5566_7788n).mov(rbx, 0x9000)
      asm.db(Uint8Array.from(bytes)).hlt()
    })
    expect(pc.run().reason).toBe('hlt')
    expect([pc.register('rax'), pc.register('rbx')]).toEqual([0x1122_3344_5566_7788n, 0x9000n])
  })
})
