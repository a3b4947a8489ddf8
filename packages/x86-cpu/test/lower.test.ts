import * as x86 from '@retrap/x86-assembler'
import { describe, expect } from 'vitest'
import { CS, FS, GS, SEG_BASE, SEG_BYTES, SEG_HIGH, SS, S_SEGMENTS } from '../src/state/state-layout.ts'
import { BareCpu, GDT, type GeneralRegister, IDT } from './support/bare-cpu.ts'
import { expectHalt, test } from './support/with-bare-cpu.ts'

const MARK = 0x1122_3344_5566_7788n
const HIGH = 0xffff_ff80_0000_0000n

function setBase(pc: BareCpu, segment: number, base: number): void {
  pc.cpu.u64[(S_SEGMENTS + SEG_BYTES * segment + SEG_BASE) >>> 3] = BigInt(base)
}

interface AddressCase {
  readonly form: string
  readonly registers?: Partial<Record<GeneralRegister, number | bigint>>
  readonly fs?: number
  readonly at: number
  readonly build: (asm: x86.Assembler) => void
}

describe('effective addresses in 64-bit mode (SDM vol. 1, "Specifying an Offset in 64-Bit Mode")', () => {
  test.for<AddressCase>([
    { form: '[disp32]', at: 0x9000, build: (asm) => asm.mov(x86.rax, x86.qword(0x9000)) },
    { form: '[base]', registers: { rbx: 0x9000 }, at: 0x9000, build: (asm) => asm.mov(x86.rax, x86.qword(x86.rbx)) },
    {
      form: '[r13], which needs a displacement',
      registers: { r13: 0x9000 },
      at: 0x9000,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.r13)),
    },
    {
      form: '[r12], which needs a SIB byte',
      registers: { r12: 0x9000 },
      at: 0x9000,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.r12)),
    },
    {
      form: '[base + index·8 + disp8]',
      registers: { rbx: 0x8000, rcx: 0x20 },
      at: 0x80f8,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.rbx, { index: x86.rcx, scale: 8, disp: -8 })),
    },
    {
      form: '[index·4 + disp32]',
      registers: { rsi: 0x100 },
      at: 0x9400,
      build: (asm) => asm.mov(x86.rax, x86.qword(0x9000, { index: x86.rsi, scale: 4 })),
    },
    {
      form: '[rbp + rsp-less index], SS as segment',
      registers: { rbp: 0x9000, rcx: -8n },
      at: 0x8ff8,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.rbp, { index: x86.rcx })),
    },
    {
      form: '[ebx + esi]: wraps at 4 GiB',
      registers: { rbx: 0x1_ffff_f000n, rsi: 0xa000 },
      at: 0x9000,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.ebx, { index: x86.esi })),
    },
    {
      form: 'fs:[base]',
      registers: { rbx: 0x1000 },
      fs: 0x8000,
      at: 0x9000,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.rbx, { segment: x86.fs })),
    },
    {
      form: 'gs:[disp32]',
      fs: 0x8000,
      at: 0x8100,
      build: (asm) => asm.mov(x86.rax, x86.qword(0x100, { segment: x86.gs })),
    },
    {
      form: 'fs:[ebx]: truncated before the base is added',
      registers: { rbx: 0xf_0000_1000n },
      fs: 0x8000,
      at: 0x9000,
      build: (asm) => asm.mov(x86.rax, x86.qword(x86.ebx, { segment: x86.fs })),
    },
    { form: '[rip + label]', at: 0x2010, build: (asm) => asm.mov(x86.rax, x86.qword(x86.rip(0x2010))) },
  ])('$form', ({ registers, fs: base, at, build }, { pc }) => {
    for (const [name, value] of Object.entries(registers ?? {})) pc.setRegister(name as GeneralRegister, value)
    if (base !== undefined) for (const segment of [FS, GS]) setBase(pc, segment, base)
    pc.write64(at, MARK)
    pc.program((asm) => {
      build(asm)
      asm.hlt()
    })
    expectHalt(pc, { rax: MARK })
  })

  test('MOV with a 64-bit offset reaches all of linear memory', ({ pc }) => {
    // The same tables again, at the top of linear memory.
    pc.write64(0x30_0000 + 8 * 511, 0x30_1007n)
    pc.write64(0x9000, MARK)
    // 48 a1 moffs64: mov rax, [HIGH + 0x9000]; then 48 a3: mov [HIGH + 0xa000], rax
    pc.program((asm) =>
      asm
        .db(0x48, 0xa1)
        .dq(HIGH + 0x9000n)
        .db(0x48, 0xa3)
        .dq(HIGH + 0xa000n)
        .hlt(),
    )
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read64(0xa000)).toBe(MARK)
  })

  test.for([0, 5, 0xff8])('RIP-relative to 2^31 − 1 and −2^31, from offset %i of a page', (offset, { pc }) => {
    pc.write64(0x30_0000 + 8 * 511, 0x30_1007n)
    pc.cpu.u64[0] = 0n
    // LEA at HIGH + 0x5000 + offset: the results are checked, not what is there.
    const address = 0x5000 + offset
    pc.load(address, [0x48, 0x8d, 0x05, 0xff, 0xff, 0xff, 0x7f, 0x48, 0x8d, 0x1d, 0x00, 0x00, 0x00, 0x80, 0xf4])
    pc.program((asm) => asm.mov(x86.rcx, HIGH + BigInt(address)).jmp(x86.rcx))
    expectHalt(pc, { rax: HIGH + BigInt(address) + 7n + 0x7fff_ffffn })
    expect(pc.register('rbx')).toBe(HIGH + BigInt(address) + 14n - 0x8000_0000n)
  })

  test('POP to memory addresses its operand with the stack pointer after the pop, PUSH with that before', ({ pc }) => {
    pc.program((asm) => asm.push(0x11).push(0x22).pop(x86.qword(x86.rsp)).push(x86.qword(x86.rsp)).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read64(0x7_fff8)).toBe(0x22n)
    expect(pc.read64(0x7_fff0)).toBe(0x22n)
  })

  test('bytes of AH are the second of RAX', ({ pc }) => {
    pc.program((asm) => asm.mov(x86.eax, 0x1234).xchg(x86.ah, x86.al).mov(x86.byte(0x9000), x86.ah).hlt())
    expectHalt(pc, { rax: 0x3412n })
    expect(pc.read8(0x9000)).toBe(0x34)
  })
})

describe('effective addresses of 16-bit code (SDM vol. 2A, "16-Bit Addressing Forms with the ModR/M Byte")', () => {
  test.each([
    {
      form: '[bx + si]',
      bx: 0x9000,
      si: 0x123,
      at: 0x9123,
      build: (asm: x86.Assembler) => asm.mov(x86.ax, x86.word(x86.bx, { index: x86.si })),
    },
    {
      form: '[bx + di − 1]',
      bx: 0x9000,
      si: 0x123,
      at: 0x9122,
      build: (asm: x86.Assembler) => asm.mov(x86.ax, x86.word(x86.bx, { index: x86.di, disp: -1 })),
    },
    {
      form: '[bx + si]: wraps at 64 KiB',
      bx: 0xf000,
      si: 0xa000,
      at: 0x9000,
      build: (asm: x86.Assembler) => asm.mov(x86.ax, x86.word(x86.bx, { index: x86.si })),
    },
    {
      form: '[bp]: relative to SS',
      bx: 0x9000,
      si: 0,
      at: 0x9800,
      build: (asm: x86.Assembler) => asm.mov(x86.bp, x86.bx).mov(x86.ax, x86.word(x86.bp)),
    },
    { form: '[disp16]', bx: 0, si: 0, at: 0x9000, build: (asm: x86.Assembler) => asm.mov(x86.ax, x86.word(0x9000)) },
    {
      form: '[ebx + ecx·2] with an address-size prefix',
      bx: 0x9000,
      si: 0,
      at: 0x9020,
      build: (asm: x86.Assembler) =>
        asm.mov(x86.ecx, 0x10).mov(x86.ax, x86.word(x86.ebx, { index: x86.ecx, scale: 2 })),
    },
  ])('$form', ({ bx: base, si: index, at, build }) => {
    const pc = new BareCpu({ mode: 'real' })
    pc.setRegister('rbx', base)
    pc.setRegister('rsi', index)
    pc.setRegister('rdi', index)
    setBase(pc, SS, 0x800)
    pc.load(at, [0x78, 0x56])
    pc.program((asm) => {
      build(asm)
      asm.hlt()
    })
    expectHalt(pc, { rax: 0x5678n })
  })

  test('a word at offset FFFFH violates the limit: #GP, and #SS for the stack', () => {
    for (const [vector, build] of [
      [13, (asm: x86.Assembler) => asm.mov(x86.ax, x86.word(0xffff))],
      [12, (asm: x86.Assembler) => asm.mov(x86.bp, 0xffff).mov(x86.ax, x86.word(x86.bp))],
    ] as const) {
      const pc = new BareCpu({ mode: 'real' })
      pc.vector(vector, 0x4000)
      pc.program((asm) => asm.mov(x86.cx, 0x77).hlt(), 0x4000)
      pc.program((asm) => {
        build(asm)
        asm.hlt()
      })
      expectHalt(pc, { rcx: 0x77n })
    }
  })
})

describe('branches', () => {
  test('a near branch with a 16-bit operand size clears the upper half of EIP', ({ protected32: pc }) => {
    // 66 eb: jmp rel8 from 0x1_2000 goes to offset & FFFFH.
    pc.program((asm) => asm.mov(x86.ebx, 1).hlt(), 0x2043)
    pc.load(0x1_2000, [0x66, 0xeb, 0x40])
    pc.program((asm) => asm.jmp(0x1_2000))
    expectHalt(pc, { rbx: 1n })
    expect(pc.rip).toBe(0x2049)
  })

  test('in 16-bit code a branch wraps within its segment', () => {
    const pc = new BareCpu({ mode: 'real' })
    setBase(pc, CS, 0x1_0000)
    pc.program((asm) => asm.mov(x86.bx, 5).hlt(), 0x1_0010)
    pc.load(0x1_fff0, [0xeb, 0x1e])
    pc.rip = 0xfff0
    expectHalt(pc, { rbx: 5n })
  })

  test('execution that runs past the limit of CS faults there', ({ protected32: pc }) => {
    pc.cpu.u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_HIGH) >>> 2] = 0x5003
    pc.cpu.u32[(S_SEGMENTS + SEG_BYTES * CS + 16) >>> 2] = 0x5003
    pc.load(0x5000, [0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0])
    pc.program((asm) => asm.jmp(0x5000))
    // No IDT: the #GP becomes a shutdown, with EIP at the instruction that could not be fetched.
    expect(pc.run().reason).toBe('shutdown')
    expect(pc.rip).toBe(0x5003)
    expect(pc.cpu.retired).toBe(4)
  })

  test('the last instruction before the limit of CS still runs', ({ protected32: pc }) => {
    pc.cpu.u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_HIGH) >>> 2] = 0x5003
    pc.cpu.u32[(S_SEGMENTS + SEG_BYTES * CS + 16) >>> 2] = 0x5003
    pc.load(0x5000, [0x90, 0x90, 0x43, 0xf4])
    pc.program((asm) => asm.jmp(0x5000))
    expectHalt(pc, { rbx: 1n })
  })
})

describe('what is no instruction', () => {
  test('raises #UD though the next byte is missing, if no further byte could make it one', () => {
    for (const [bytes, reason] of [
      [[0x0f, 0x04], 'hlt'],
      [[0x0f, 0x0b], 'hlt'],
      [[0x0f], 'shutdown'],
    ] as const) {
      const pc = new BareCpu({ mode: 'protected' })
      const end = 0x5fff
      // With CS ending there: #UD has a handler within the limit, #GP has none.
      pc.write64(GDT + 8, 0x00cf_9b00_0000_ffffn)
      pc.cpu.u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_HIGH) >>> 2] = end
      pc.cpu.u32[(S_SEGMENTS + SEG_BYTES * CS + 16) >>> 2] = end
      pc.write64(IDT + 8 * 6, 0x0000_8e00_0008_4000n)
      pc.program((asm) => asm.hlt(), 0x4000)
      pc.load(end + 1 - bytes.length, bytes)
      pc.program((asm) => asm.jmp(end + 1 - bytes.length))
      expect(pc.run().reason).toBe(reason)
    }
  })

  test.for([
    { what: 'an opcode that 64-bit mode lacks', bytes: [0x06] },
    { what: 'UD2', bytes: [0x0f, 0x0b] },
    { what: 'LOCK on a form that cannot have it', bytes: [0xf0, 0x90] },
    { what: 'AVX, which CPUID does not offer', bytes: [0xc5, 0xf8, 0x58, 0xc1] },
    { what: 'sixteen bytes of prefixes: #GP', bytes: [...Array.from({ length: 15 }, () => 0x66), 0x90], vector: 13 },
  ])('$what raises its exception at its own address', ({ bytes, vector = 6 }, { pc }) => {
    // The handlers note the vector, and for #GP the error code below the return address.
    pc.vector(6, 0x4000)
    pc.program((asm) => asm.mov(x86.eax, 6).mov(x86.rbx, x86.qword(x86.rsp)).hlt(), 0x4000)
    pc.vector(13, 0x4100)
    pc.program((asm) => asm.mov(x86.eax, 13).pop(x86.rcx).mov(x86.rbx, x86.qword(x86.rsp)).hlt(), 0x4100)
    pc.load(0x5000, bytes)
    pc.program((asm) => asm.jmp(0x5000))
    expectHalt(pc, { rax: BigInt(vector), rbx: 0x5000n, rcx: 0n })
  })
})
