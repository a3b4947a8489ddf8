/** Operands at the end of a page, in compiled code: each byte is in the page that it belongs to. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { PAGE_TABLE } from '../support/bare-cpu.ts'
import { handler, runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

const END = 0x1_1000
/** Where the page after the end is: its neighbour has other bytes. */
const FRAME = 0x50
const PAGE_FAULT = 14
const CR0_WP = 0x1_0000

const OPERANDS: Readonly<Record<string, (asm: Assembler) => void>> = {
  'one byte': (asm) => asm.add(x86.al, x86.ptr(x86.rsi)).mov(x86.ptr(x86.rsi), x86.al),
  'two bytes': (asm) => asm.add(x86.ax, x86.ptr(x86.rsi)).mov(x86.word(x86.rsi), x86.ax),
  'four bytes': (asm) => asm.add(x86.eax, x86.ptr(x86.rsi)).mov(x86.dword(x86.rsi), x86.eax),
  'eight bytes': (asm) => asm.add(x86.rax, x86.ptr(x86.rsi)).mov(x86.qword(x86.rsi), x86.rax),
  'a read and write of two bytes': (asm) => asm.add(x86.word(x86.rsi), x86.ax),
  'a read and write of eight bytes': (asm) => asm.add(x86.qword(x86.rsi), x86.rax),
  '16 bytes': (asm) =>
    asm.movups(x86.xmm0, x86.ptr(x86.rsi)).paddq(x86.xmm0, x86.xmm1).movups(x86.xmmword(x86.rsi), x86.xmm0),
  'four bytes of SSE': (asm) =>
    asm.movss(x86.xmm0, x86.dword(x86.rsi)).movss(x86.dword(x86.rsi, { disp: -4 }), x86.xmm0),
  'eight bytes of SSE': (asm) =>
    asm.movsd(x86.xmm0, x86.qword(x86.rsi)).movsd(x86.qword(x86.rsi, { disp: -8 }), x86.xmm0),
  'a push and a pop': (asm) =>
    asm.mov(x86.rdx, x86.rsp).mov(x86.rsp, x86.rsi).push(x86.rax).pop(x86.rax).mov(x86.rsp, x86.rdx),
}

function loop(asm: Assembler, operand: (asm: Assembler) => void): void {
  const again = asm.label('again')
  asm
    .mov(x86.eax, 0x1234_5679)
    .mov(x86.ecx, 60)
    .mov(x86.esi, END - 40)
    .mov(x86.ebx, 1)
    .bind(again)
  operand(asm)
  asm.imul(x86.rax, x86.rax, 0x1357).add(x86.rsi, 1).dec(x86.ecx).jne(again).hlt()
}

describe.each(Object.entries(OPERANDS))('an operand of %s', (_, operand) => {
  test('is in both of two pages whose frames are not neighbours', () => {
    /** Runs with the bytes of the second page in a frame. @returns all that the program could have read */
    const seen = (frame: number): unknown => {
      const [plain] = runBothWays({
        code: (asm) => loop(asm, operand),
        prepare: (pc) => {
          pc.fill64(END - 0x1000, END + 0x1000, (at) => BigInt(at + 1) * 0x1_2345_6789n)
          pc.fill64(frame << 12, (frame << 12) + 0x100, (at) => BigInt((at & 0xfff) + 3) * 0x9_8765_4321n)
          pc.write64(PAGE_TABLE + 8 * (END >>> 12), BigInt((frame << 12) | 7))
        },
      })
      const { general, vectors } = plain.cpu.registers
      const words = (at: number): bigint[] => Array.from({ length: 8 }, (__, i) => plain.read64(at + 8 * i))
      return [[...general], [...vectors.subarray(0, 32)], words(END - 64), words(frame << 12)]
    }
    // Where the frames are neighbours, an access that is not split finds the same bytes.
    expect(seen(FRAME)).toEqual(seen(END >>> 12))
  })

  test('faults for the second page where that is not there', () => {
    const [plain] = runBothWays({
      code: (asm) => loop(asm, operand),
      prepare: (pc) => {
        pc.write64(PAGE_TABLE + 8 * (END >>> 12), 0n)
        // The handler maps it.
        handler(pc, PAGE_FAULT, (asm) =>
          asm
            .mov(x86.qword(PAGE_TABLE + 8 * (END >>> 12)), END | 7)
            .add(x86.qword(0x9100), x86.rsi)
            .add(x86.rsp, 8)
            .iretq(),
        )
      },
    })
    expect(plain.cpu.counts.faults).toBe(1)
  })
})

describe('a page that may be read and not be written', () => {
  test.each([
    ['after a read of the same place', (asm: Assembler) => asm.mov(x86.dword(x86.rsi), x86.eax)],
    ['by an instruction that reads it too', (asm: Assembler) => asm.add(x86.dword(x86.rsi), x86.eax)],
  ])('faults each time that it is written, %s', (_, write) => {
    const ROUNDS = 60
    const [plain] = runBothWays({
      code: (asm) => {
        const [again, reading] = [asm.label('again'), asm.label('reading')]
        // Write protection holds for the supervisor too.
        asm
          .mov(x86.rax, x86.cr0)
          .or(x86.eax, CR0_WP)
          .mov(x86.cr0, x86.rax)
          .mov(x86.ecx, ROUNDS)
          .mov(x86.esi, END)
          .bind(again)
        asm.mov(x86.eax, x86.ptr(x86.rsi)).test(x86.ecx, 3).jne(reading)
        write(asm)
        asm.bind(reading).add(x86.rsi, 8).add(x86.rbx, x86.rax).dec(x86.ecx).jne(again).hlt()
      },
      prepare: (pc) => {
        pc.fill64(END, END + 0x1000, (at) => BigInt(at + 1) * 0x1_2345_6789n)
        pc.write64(PAGE_TABLE + 8 * (END >>> 12), BigInt(END | 5))
        // The handler counts, and goes on behind the write, which has two bytes.
        handler(pc, PAGE_FAULT, (asm) => {
          asm.inc(x86.qword(0x9100)).add(x86.rsp, 8).add(x86.qword(x86.rsp), 2).iretq()
        })
      },
    })
    expect(plain.cpu.counts.faults).toBe(ROUNDS / 4)
  })
})
