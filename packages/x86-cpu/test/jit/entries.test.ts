/** Units that are entered in another state than that in which they were compiled. */
import * as x86 from '@retrap/x86-assembler'
import { descriptor } from '@retrap/x86-assembler/guest-code'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { type BareCpu, GDT, IDT } from '../support/bare-cpu.ts'
import { handler, runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

const FLAT_CODE = 0x08
const FLAT = 0x10
const OTHER = 0x18
const DATA = 0x1_0000
const GENERAL_PROTECTION = 13

/** An interrupt gate of 32-bit code. */
function gate(pc: BareCpu, vector: number, code: (asm: x86.Assembler) => void): void {
  const address = 0x5000 + 0x100 * vector
  pc.program(code, address)
  pc.write32(IDT + 8 * vector, address | (FLAT_CODE << 16))
  pc.write32(IDT + 8 * vector + 4, 0x8e00)
}

function segments(pc: BareCpu, other: bigint): void {
  pc.write64(GDT + FLAT_CODE, descriptor(0, 0xf_ffff, 0x9b, 0xc))
  pc.write64(GDT + FLAT, descriptor(0, 0xf_ffff, 0x93, 0xc))
  pc.write64(GDT + OTHER, other)
}

/** Data segments that are not as the compiled code found them. */
const OTHERS = {
  'another base': descriptor(0x40, 0xf_ffff, 0x93, 0xc),
  'a limit that most of the operands are below': descriptor(0, DATA + 0x33, 0x93, 4),
  'a limit within the first operand': descriptor(0, DATA + 0x52, 0x93, 4),
  'no right to write': descriptor(0, 0xf_ffff, 0x91, 0xc),
  'addresses above its limit': descriptor(0, DATA >>> 12, 0x97, 0xc),
} as const

describe.each(Object.entries({ DS: x86.ds, ES: x86.es, FS: x86.fs, GS: x86.gs, SS: x86.ss }))(
  'operands in %s',
  (name, register) => {
    test.each(Object.entries(OTHERS).filter(([which]) => name !== 'SS' || which === 'another base'))(
      'are those of a segment with %s, which it is loaded with after the code was compiled',
      (_, other) => {
        runBothWays({
          mode: 'protected',
          code: (asm) => {
            const [again, flat, routine, loop] = [
              asm.label('again'),
              asm.label('flat'),
              asm.label('routine'),
              asm.label('loop'),
            ]
            asm.mov(x86.esi, 11).bind(again)
            asm.mov(x86.eax, FLAT).test(x86.esi, 3).jne(flat).mov(x86.eax, OTHER).bind(flat).mov(register, x86.eax)
            asm.call(routine).dec(x86.esi).jne(again).hlt()
            asm.bind(routine).mov(x86.ecx, 20).bind(loop)
            asm.add(x86.dword(x86.ebx, { segment: register, index: x86.ecx, scale: 4 }), x86.ecx)
            asm
              .add(x86.edi, x86.dword(x86.ebx, { segment: register, disp: 8 }))
              .dec(x86.ecx)
              .jne(loop)
              .ret()
          },
          prepare: (pc) => {
            segments(pc, other)
            pc.setRegister('rbx', DATA)
            for (let at = DATA; at < DATA + 0x200; at += 4) pc.write32(at, at * 77)
            // The handler makes the segment flat.
            gate(pc, GENERAL_PROTECTION, (asm) =>
              asm.add(x86.esp, 4).mov(x86.eax, FLAT).mov(register, x86.eax).inc(x86.dword(0x9000)).iret(),
            )
          },
        })
      },
    )
  },
)

describe('code at one linear address', () => {
  const build = (asm: x86.Assembler, base: number): void => {
    const [again, flat, done] = [asm.label('again'), asm.label('flat'), asm.label('done')]
    const [routine, loop, place] = [asm.label('routine'), asm.label('loop'), asm.label('place')]
    asm.mov(x86.esi, 11).bind(again).test(x86.esi, 3).jne(flat)
    asm.callf(x86.far(OTHER, routine.minus(base))).jmp(done)
    asm.bind(flat).callf(x86.far(FLAT_CODE, routine))
    asm.bind(done).dec(x86.esi).jne(again).hlt()
    // A call within pushes what the instruction pointer is.
    asm.bind(routine).mov(x86.ecx, 20).bind(loop).call(place).dec(x86.ecx).jne(loop).retf()
    asm.bind(place).add(x86.edi, x86.ptr(x86.esp)).imul(x86.edi, x86.edi, 3).ret()
  }

  test('has the instruction pointers of its code segment, whose base may differ', () => {
    runBothWays({
      mode: 'protected',
      code: (asm) => build(asm, 0x40),
      prepare: (pc) => segments(pc, descriptor(0x40, 0xf_ffff, 0x9b, 0xc)),
    })
  })

  test('faults beyond the limit of its code segment, which may differ', () => {
    const [plain] = runBothWays({
      mode: 'protected',
      code: (asm) => build(asm, 0),
      prepare: (pc) => {
        // CALL within the loop leads beyond it.
        segments(pc, descriptor(0, 0x1030, 0x9b, 4))
        gate(pc, GENERAL_PROTECTION, (asm) => {
          asm
            .add(x86.esp, 4)
            .inc(x86.dword(0x9000))
            .mov(x86.dword(x86.esp, { disp: 4 }), FLAT_CODE)
            .iret()
        })
      },
    })
    expect(plain.read32(0x9000)).toBeGreaterThan(0)
  })

  test('is decoded anew for the mode that it is executed in', () => {
    const CODE32 = 0x30
    runBothWays({
      code: (asm) => {
        const [again, routine, back] = [asm.label('again'), asm.label('routine'), asm.label('back')]
        const [compatible, end, last] = [asm.label('compatible'), asm.label('end'), asm.label('last')]
        asm.mov(x86.esi, 11).bind(again).mov(x86.ecx, 20).lea(x86.rdi, x86.ptr(back)).jmp(routine)
        asm
          .bind(back)
          .mov(x86.rax, CODE32)
          .push(x86.rax)
          .lea(x86.rax, x86.ptr(compatible))
          .push(x86.rax)
          .operandSize(64)
          .retf()
        // ADD RAX, RBX; or DEC EAX and ADD EAX, EBX.
        asm.bind(routine).db(0x48, 0x01, 0xd8).dec(x86.ecx).jne(routine).jmp(x86.rdi)
        asm.bits(32).bind(compatible).mov(x86.ecx, 20).mov(x86.edi, end).jmp(routine)
        asm.bind(end).jmpf(x86.far(FLAT_CODE, last)).bits(64).bind(last).dec(x86.esi).jne(again).hlt()
      },
      prepare: (pc) => {
        pc.write64(GDT + CODE32, descriptor(0, 0xf_ffff, 0x9b, 0xc))
        pc.setRegister('rbx', 0x1234_5678_9abc)
      },
    })
  })
})

/** Instructions that a bit of CR0 or CR4 forbids. */
const GATED: Readonly<Record<string, (asm: x86.Assembler) => void>> = {
  ADDPS: (asm) => asm.addps(x86.xmm0, x86.xmm1),
  'MOVUPS to memory': (asm) => asm.movups(x86.ptr(0x9000), x86.xmm0),
  'an x87 addition': (asm) => asm.fadd(x86.st0, x86.st1),
  'a load of the x87': (asm) => asm.fld1().fstp(x86.st1),
  PADDD: (asm) => asm.paddd(x86.mm0, x86.mm1).emms(),
}
const NO_DEVICE = 7
const UNDEFINED = 6

describe.each(Object.entries(GATED))('%s in compiled code', (_, emit) => {
  test.each([
    ['CR0.TS', x86.cr0, 8],
    ['CR0.EM', x86.cr0, 4],
    ['CR4.OSFXSR', x86.cr4, 0x200],
  ] as const)('heeds a change of %s', (_, register, bit) => {
    runBothWays({
      code: (asm) => {
        const [again, loop, change] = [asm.label('again'), asm.label('loop'), asm.label('change')]
        asm
          .fninit()
          .fld1()
          .mov(x86.esi, 19)
          .xor(x86.edi, x86.edi)
          .bind(again)
          .mov(x86.ecx, 20)
          .test(x86.esi, 3)
          .je(change)
          .bind(loop)
        emit(asm)
        asm.dec(x86.ecx).jne(loop).dec(x86.esi).jne(again).hlt()
        // The first time nothing changes, so that what follows is compiled in the same state as the loop.
        asm.bind(change).mov(x86.rax, register).xor(x86.rax, x86.rdi).mov(register, x86.rax).mov(x86.edi, bit).jmp(loop)
      },
      prepare: (pc) => {
        // The handlers count, and change the bit back.
        for (const vector of [NO_DEVICE, UNDEFINED]) {
          handler(pc, vector, (asm) => {
            asm.push(x86.rax).inc(x86.dword(0x9100 + 8 * vector))
            asm.mov(x86.rax, register).xor(x86.rax, bit).mov(register, x86.rax).pop(x86.rax).iretq()
          })
        }
      },
    })
  })
})
