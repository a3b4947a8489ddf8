/** Operands at the end of a page, in compiled code: each byte is in the page that it belongs to. */
import {
  al,
  ax,
  cr0,
  dword,
  eax,
  ebx,
  ecx,
  esi,
  ptr,
  qword,
  rax,
  rbx,
  rdx,
  rsi,
  rsp,
  word,
  xmm0,
  xmm1,
  xmmword,
} from '@retrap/x86-assembler'
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
  'one byte': (asm) => asm.add(al, ptr(rsi)).mov(ptr(rsi), al),
  'two bytes': (asm) => asm.add(ax, ptr(rsi)).mov(word(rsi), ax),
  'four bytes': (asm) => asm.add(eax, ptr(rsi)).mov(dword(rsi), eax),
  'eight bytes': (asm) => asm.add(rax, ptr(rsi)).mov(qword(rsi), rax),
  'a read and write of two bytes': (asm) => asm.add(word(rsi), ax),
  'a read and write of eight bytes': (asm) => asm.add(qword(rsi), rax),
  '16 bytes': (asm) => asm.movups(xmm0, ptr(rsi)).paddq(xmm0, xmm1).movups(xmmword(rsi), xmm0),
  'four bytes of SSE': (asm) => asm.movss(xmm0, dword(rsi)).movss(dword(rsi, { disp: -4 }), xmm0),
  'eight bytes of SSE': (asm) => asm.movsd(xmm0, qword(rsi)).movsd(qword(rsi, { disp: -8 }), xmm0),
  'a push and a pop': (asm) => asm.mov(rdx, rsp).mov(rsp, rsi).push(rax).pop(rax).mov(rsp, rdx),
}

function loop(asm: Assembler, operand: (asm: Assembler) => void): void {
  const again = asm.label('again')
  asm
    .mov(eax, 0x1234_5679)
    .mov(ecx, 60)
    .mov(esi, END - 40)
    .mov(ebx, 1)
    .bind(again)
  operand(asm)
  asm.imul(rax, rax, 0x1357).add(rsi, 1).dec(ecx).jne(again).hlt()
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
            .mov(qword(PAGE_TABLE + 8 * (END >>> 12)), END | 7)
            .add(qword(0x9100), rsi)
            .add(rsp, 8)
            .iretq(),
        )
      },
    })
    expect(plain.cpu.counts.faults).toBe(1)
  })
})

describe('a page that may be read and not be written', () => {
  test.each([
    ['after a read of the same place', (asm: Assembler) => asm.mov(dword(rsi), eax)],
    ['by an instruction that reads it too', (asm: Assembler) => asm.add(dword(rsi), eax)],
  ])('faults each time that it is written, %s', (_, write) => {
    const ROUNDS = 60
    const [plain] = runBothWays({
      code: (asm) => {
        const [again, reading] = [asm.label('again'), asm.label('reading')]
        // Write protection holds for the supervisor too.
        asm.mov(rax, cr0).or(eax, CR0_WP).mov(cr0, rax).mov(ecx, ROUNDS).mov(esi, END).bind(again)
        asm.mov(eax, ptr(rsi)).test(ecx, 3).jne(reading)
        write(asm)
        asm.bind(reading).add(rsi, 8).add(rbx, rax).dec(ecx).jne(again).hlt()
      },
      prepare: (pc) => {
        pc.fill64(END, END + 0x1000, (at) => BigInt(at + 1) * 0x1_2345_6789n)
        pc.write64(PAGE_TABLE + 8 * (END >>> 12), BigInt(END | 5))
        // The handler counts, and goes on behind the write, which has two bytes.
        handler(pc, PAGE_FAULT, (asm) => {
          asm.inc(qword(0x9100)).add(rsp, 8).add(qword(rsp), 2).iretq()
        })
      },
    })
    expect(plain.cpu.counts.faults).toBe(ROUNDS / 4)
  })
})
