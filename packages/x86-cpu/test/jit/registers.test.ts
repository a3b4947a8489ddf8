/** Parts of general registers, which are in locals of 64 bits in compiled code. */
import {
  ah,
  al,
  ax,
  bh,
  bl,
  ch,
  dh,
  dl,
  eax,
  ebx,
  ecx,
  edx,
  r8,
  r8b,
  r8d,
  r8w,
  rax,
  rbx,
  rcx,
  rdx,
} from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

/** Writes of parts of RAX, RBX or R8, of values that differ in all bytes and from round to round. */
const WRITES: Readonly<Record<string, (asm: Assembler) => void>> = {
  AL: (asm) => asm.mov(al, dl),
  AH: (asm) => asm.mov(ah, dl),
  'AH from DH': (asm) => asm.mov(ah, dh),
  'BL from AH': (asm) => asm.mov(bl, ah),
  'BH by ADD': (asm) => asm.add(bh, dl),
  'AH by INC': (asm) => asm.inc(ah),
  'AH by XCHG with AL': (asm) => asm.xchg(ah, al),
  'CH by OR': (asm) => asm.mov(r8, rcx).or(ch, dl).mov(rbx, rcx).mov(rcx, r8),
  AX: (asm) => asm.mov(ax, 0x1357),
  EAX: (asm) => asm.mov(eax, edx),
  'EAX by CMOV': (asm) => asm.test(edx, 3).cmove(eax, ebx),
  R8B: (asm) => asm.mov(r8b, dl),
  R8W: (asm) => asm.add(r8w, 0x7531),
  R8D: (asm) => asm.sub(r8d, edx),
  'AX by CBW': (asm) => asm.cbw(),
  'RAX by CDQE': (asm) => asm.cdqe(),
  'AH by LAHF': (asm) => asm.add(edx, 0x7000_0001).lahf(),
}

describe.each(Object.entries(WRITES))('a write of %s', (_, write) => {
  test('leaves the other bytes as the architecture says', () => {
    const [plain] = runBothWays({
      code: (asm) => {
        const again = asm.label('again')
        asm.mov(rax, 0x1122_3344_5566_7788n).mov(rbx, 0x99aa_bbcc_ddee_ff01n).mov(r8, 0x0123_4567_89ab_cdefn)
        asm.mov(ecx, 50).bind(again).imul(rdx, rcx, 0x1357_9bdf).rol(rax, 5).ror(rbx, 11)
        write(asm)
        // Each is made of whole registers, so that no byte is lost.
        asm.xor(r8, rax).add(r8, rbx).dec(ecx).jne(again).hlt()
      },
    })
    expect(plain.register('r8')).not.toBe(0n)
  })
})
