/** Parts of general registers, which are in locals of 64 bits in compiled code. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

/** Writes of parts of RAX, RBX or R8, of values that differ in all bytes and from round to round. */
const WRITES: Readonly<Record<string, (asm: Assembler) => void>> = {
  AL: (asm) => asm.mov(x86.al, x86.dl),
  AH: (asm) => asm.mov(x86.ah, x86.dl),
  'AH from DH': (asm) => asm.mov(x86.ah, x86.dh),
  'BL from AH': (asm) => asm.mov(x86.bl, x86.ah),
  'BH by ADD': (asm) => asm.add(x86.bh, x86.dl),
  'AH by INC': (asm) => asm.inc(x86.ah),
  'AH by XCHG with AL': (asm) => asm.xchg(x86.ah, x86.al),
  'CH by OR': (asm) => asm.mov(x86.r8, x86.rcx).or(x86.ch, x86.dl).mov(x86.rbx, x86.rcx).mov(x86.rcx, x86.r8),
  AX: (asm) => asm.mov(x86.ax, 0x1357),
  EAX: (asm) => asm.mov(x86.eax, x86.edx),
  'EAX by CMOV': (asm) => asm.test(x86.edx, 3).cmove(x86.eax, x86.ebx),
  R8B: (asm) => asm.mov(x86.r8b, x86.dl),
  R8W: (asm) => asm.add(x86.r8w, 0x7531),
  R8D: (asm) => asm.sub(x86.r8d, x86.edx),
  'AX by CBW': (asm) => asm.cbw(),
  'RAX by CDQE': (asm) => asm.cdqe(),
  'AH by LAHF': (asm) => asm.add(x86.edx, 0x7000_0001).lahf(),
}

describe.each(Object.entries(WRITES))('a write of %s', (_, write) => {
  test('leaves the other bytes as the architecture says', () => {
    const [plain] = runBothWays({
      code: (asm) => {
        const again = asm.label('again')
        asm
          .mov(x86.rax, 0x1122_3344_5566_7788n)
          .mov(x86.rbx, 0x99aa_bbcc_ddee_ff01n)
          .mov(x86.r8, 0x0123_4567_89ab_cdefn)
        asm.mov(x86.ecx, 50).bind(again).imul(x86.rdx, x86.rcx, 0x1357_9bdf).rol(x86.rax, 5).ror(x86.rbx, 11)
        write(asm)
        // Each is made of whole registers, so that no byte is lost.
        asm.xor(x86.r8, x86.rax).add(x86.r8, x86.rbx).dec(x86.ecx).jne(again).hlt()
      },
    })
    expect(plain.register('r8')).not.toBe(0n)
  })
})
