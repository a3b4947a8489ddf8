/** Places where a unit could go on wrongly and be right nearly always: the ends of 4 GiB, calls of forms, fills of the TLB. */
import {
  ah,
  ax,
  bl,
  byte,
  cl,
  dl,
  dword,
  eax,
  ebx,
  ecx,
  edx,
  ptr,
  qword,
  rax,
  rbp,
  rbx,
  rcx,
  rdi,
  rdx,
  rsi,
  st0,
  st1,
} from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { afterEach, describe, expect, vi } from 'vitest'
import { X86Compiled } from '../../src/jit/x86-compiled.ts'
import { BareCpu, PAGE_TABLE, initialState } from '../support/bare-cpu.ts'
import { expectAlike, runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

const NOP = 0x90

afterEach(() => {
  vi.restoreAllMocks()
})

describe('32-bit code at both ends of 4 GiB, in IA-32e mode with nothing mapped from there on', () => {
  const DIRECTORY = 0x30_8000
  const TABLE = 0x30_9000
  const LAST_FRAME = 0x2_0000
  const ROUNDS = 40

  /** Runs code that begins in one of the last pages below 4 GiB, and goes on in the first one. */
  function runAtEnds(jit: typeof EAGER_JIT | false, start: number, last: number[], first: number[]): BareCpu {
    const pc = new BareCpu({ jit })
    pc.write64(0x30_1000 + 8 * 3, BigInt(DIRECTORY | 7))
    pc.write64(DIRECTORY + 8 * 511, BigInt(TABLE | 7))
    for (const entry of [510, 511]) pc.write64(TABLE + 8 * entry, BigInt(LAST_FRAME | 7))
    const state = initialState('long')
    const cs = { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xc09b }
    pc.cpu.load({ ...state, segments: { ...state.segments, cs } })
    pc.load(LAST_FRAME + (start & 0xfff), last)
    pc.load(0, first)
    pc.rip = start
    pc.setRegister('rcx', ROUNDS)
    expect(pc.turn(100_000).reason).toBe('hlt')
    return pc
  }

  test.each([
    // inc eax; inc edx / inc ebx; dec ecx; jnz 0fffffffeh; hlt
    { way: 'by falling through', start: 0xffff_fffe, last: [0x40, 0x42], first: [0x43, 0x49, 0x75, 0xfa, 0xf4] },
    // The last page is executed one instruction at a time, since its end is the code segment's; the one below is compiled.
    // inc eax; inc edx; jmp 0 / inc ebx; dec ecx; jnz 0ffffef80h; hlt
    {
      way: 'by a jump',
      start: 0xffff_ef80,
      last: [0x40, 0x42, 0xe9, 0x79, 0x10, 0, 0],
      first: [0x43, 0x49, 0x0f, 0x85, 0x78, 0xef, 0xff, 0xff, 0xf4],
    },
    // inc eax; cmp eax, edx; jnz 0 / inc ebx; dec ecx; jnz 0ffffef80h; hlt
    {
      way: 'by a conditional jump',
      start: 0xffff_ef80,
      last: [0x40, 0x39, 0xd0, 0x0f, 0x85, 0x77, 0x10, 0, 0],
      first: [0x43, 0x49, 0x0f, 0x85, 0x78, 0xef, 0xff, 0xff, 0xf4],
    },
    // call 0; inc edx; dec ecx; jnz 0ffffef80h; hlt / inc eax; inc ebx; ret
    {
      way: 'by a call',
      start: 0xffff_ef80,
      last: [0xe8, 0x7b, 0x10, 0, 0, 0x42, 0x49, 0x75, 0xf7, 0xf4],
      first: [0x40, 0x43, 0xc3],
    },
  ])('goes on in the first page $way', ({ start, last, first }) => {
    const [plain, compiled] = [runAtEnds(false, start, last, first), runAtEnds(EAGER_JIT, start, last, first)]
    expectAlike([plain, compiled])
    expect([plain.register('rbx'), plain.register('rcx')]).toEqual([BigInt(ROUNDS), 0n])
    expect(compiled.engine.jitCounts!.executed).toBeGreaterThan(2 * ROUNDS)
  })
})

describe('a form that units call the interpreter’s function of', () => {
  /** Has units call the functions of all forms that are not inlined in the interpreter, and not of the longest alone. */
  function callForms(): void {
    vi.spyOn(X86Compiled.prototype, 'isCalled').mockImplementation(
      ({ form, semantics }, bytes) =>
        bytes > 0 && semantics.partial !== true && !/^(J|CALL|RET|LOOP)/.test(form.mnemonic),
    )
  }

  /** Stores that have another effect when they are made twice, at RSI. */
  const STORES: Readonly<Record<string, (asm: Assembler) => void>> = {
    'FSTP of four bytes': (asm) => asm.fstp(dword(rsi)),
    'FSTP of eight bytes': (asm) => asm.fstp(qword(rsi)),
    'RCL of memory': (asm) => asm.stc().rcl(dword(rsi), 1),
    'BTC of memory': (asm) => asm.btc(dword(rsi), 3),
  }

  test.each(Object.entries(STORES))('is executed once where it ends the unit: %s in its code', (_, store) => {
    callForms()
    const [plain] = runBothWays({
      code: (asm) => {
        const [again, patched] = [asm.label('again'), asm.label('patched')]
        // The operand of MOV is written.
        asm.fninit().mov(ecx, 200).lea(rbx, ptr(patched)).add(rbx, 2).bind(again)
        // Most rounds write far from code.
        asm
          .lea(rsi, ptr(rcx, { disp: 0x1_0000 }))
          .test(ecx, 15)
          .cmove(rsi, rbx)
          .fld1()
          .fldpi()
          .fldpi()
        store(asm)
        asm.bind(patched).mov(rbp, 0x1234_5678_9abc_def0n).add(rdx, rbp)
        asm.fcomp(st0, st1).fstp(st0).fnstsw(ax).add(rdx, rax).dec(ecx).jne(again).hlt()
      },
    })
    expect(plain.engine.codeCache.invalidations).toBeGreaterThan(10)
  })

  /** Forms that read flags, or keep some, or write them. */
  const FLAGS: Readonly<Record<string, (asm: Assembler) => void>> = {
    'RCL reads CF': (asm) => asm.rcl(eax, 3),
    'CMC reads CF': (asm) => asm.cmc(),
    'ADC to memory reads CF': (asm) => asm.adc(dword(rdi), edx),
    'SETP reads PF': (asm) => asm.setp(bl),
    'CMOVO reads OF': (asm) => asm.cmovo(eax, edx),
    'LAHF reads five': (asm) => asm.lahf().add(ebx, eax),
    'ROR by CL may keep all': (asm) => asm.ror(eax, cl),
    'BTR keeps ZF and writes CF': (asm) => asm.btr(eax, 5),
    'SAHF writes five': (asm) => asm.mov(ah, dl).sahf(),
    'SHLD writes all': (asm) => asm.shld(eax, edx, 3),
  }

  test.each(Object.entries(FLAGS))('finds the flags, and leaves them: %s', (_, form) => {
    callForms()
    runBothWays({
      code: (asm) => {
        const [again, even] = [asm.label('again'), asm.label('even')]
        asm
          .mov(ecx, 300)
          .mov(rdi, 0x1_0000)
          .bind(again)
          .lea(rdx, ptr(rcx, { index: rcx, scale: 4 }))
        asm.imul(edx, edx, 0x4321_9877)
        // The flags of this subtraction stay unmaterialised up to the form.
        asm.cmp(edx, eax)
        form(asm)
        asm.adc(rbx, rdx).jbe(even).add(rbp, 3).bind(even).pushfq().pop(rsi).xor(rbp, rsi).dec(ecx).jne(again).hlt()
      },
    })
  })
})

test('the fill of the TLB that writes the code of a unit ends it before the next instruction', () => {
  // The code lies in the page table: the operand of MOV is the entry of a page whose accessed bit a walk sets.
  const [CODE_ENTRY, DATA, FRAME] = [0x180, 0x1_0000, 0x5_0000]
  let operand = 0
  const [, compiled] = runBothWays({
    at: PAGE_TABLE + 8 * CODE_ENTRY,
    code: (asm) => {
      const [again, near, entry] = [asm.label('again'), asm.label('near'), asm.label('entry')]
      asm.mov(ecx, 60).mov(rsi, DATA).bind(again).cmp(ecx, 10).jne(near).mov(rsi, qword(0x9000)).bind(near)
      asm.invlpg(byte(rsi)).mov(rdx, ptr(rsi)).align(8, NOP).nop().nop().nop().nop().nop().nop().bind(entry)
      asm.mov(rax, 0x1234_5678_9abc_def0n).add(rbx, rax).add(rbx, rdx).dec(ecx).jne(again).hlt()
    },
    prepare: (pc, at) => {
      operand = at('entry') + 2
      expect(operand % 8).toBe(0)
      pc.write64(operand, BigInt(FRAME | 7))
      pc.write64(0x9000, BigInt((operand - PAGE_TABLE) / 8) << 12n)
      for (const [i, value] of [3n, 5n].entries()) pc.write64([DATA, FRAME][i]!, value)
    },
  })
  const ACCESSED = 0x20
  expect(compiled.read64(operand)).toBe(BigInt(FRAME | 7 | ACCESSED))
  expect(compiled.register('rbx')).toBe(BigInt(60 * (FRAME | 7) + 10 * ACCESSED + 50 * 3 + 10 * 5))
  expect(compiled.engine.jitCounts!.exits.written).toBe(1)
})
