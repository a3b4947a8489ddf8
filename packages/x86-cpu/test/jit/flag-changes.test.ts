/** Instructions of compiled code that change some flags each, one behind the other: what a later one keeps is the earlier one's. */
import { al, cl, eax, ebx, ecx, edx, r8, rax, rdx, xmm0, xmm1 } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { expect } from 'vitest'
import { runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

/** EAX and ECX vary, EDX is EBX, and the flags are those of a comparison. */
const CHANGES: Readonly<Record<string, (asm: Assembler) => Assembler>> = {
  STC: (asm) => asm.stc(),
  CLC: (asm) => asm.clc(),
  CMC: (asm) => asm.cmc(),
  SAHF: (asm) => asm.sahf(),
  BT: (asm) => asm.bt(eax, 3),
  'BSF, of zero at times': (asm) => asm.bsf(edx, ecx),
  TZCNT: (asm) => asm.tzcnt(edx, ecx),
  BLSR: (asm) => asm.blsr(edx, ecx),
  INC: (asm) => asm.inc(edx),
  DEC: (asm) => asm.dec(edx),
  ADC: (asm) => asm.adc(edx, ecx),
  ADCX: (asm) => asm.adcx(edx, eax),
  ADOX: (asm) => asm.adox(edx, eax),
  IMUL: (asm) => asm.imul(edx, eax),
  'ROL by 1': (asm) => asm.rol(edx, 1),
  'ROR by CL, of 0 at times': (asm) => asm.ror(edx, cl),
  'RCL by CL, of 0 at times': (asm) => asm.rcl(edx, cl),
  'SHL by 1': (asm) => asm.shl(edx, 1),
  'SAR by CL, of 0 at times': (asm) => asm.sar(edx, cl),
  'SHLD by CL, of 0 at times': (asm) => asm.shld(edx, eax, cl),
  COMISD: (asm) => asm.comisd(xmm0, xmm1),
}

const changes = Object.entries(CHANGES)

test.each(changes)('%s, and then each', (_, first) => {
  const [plain] = runBothWays({
    code: (asm) => {
      const again = asm.label()
      asm.mov(ebx, 24).cvtsi2sd(xmm1, ebx).bind(again)
      for (const [, second] of changes) {
        asm.imul(eax, ebx, 0x0765_4321).mov(ecx, ebx).and(ecx, 3).mov(edx, ebx).cvtsi2sd(xmm0, edx).cmp(eax, ebx)
        first(asm)
        second(asm)
        asm.pushfq().pop(rdx).add(r8, rdx).imul(r8, r8, 0x1357)
        // Without a look at all flags, the first is known by its carry alone.
        asm.mov(edx, ebx).cmp(eax, ebx)
        first(asm)
        second(asm)
        asm.setb(al).adc(r8, rax)
      }
      asm.dec(ebx).jne(again).hlt()
    },
  })
  expect(plain.register('r8')).not.toBe(0n)
})
