/** Registers of a device that are words in memory: generated code reads them by itself, as the device would answer. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { expect } from 'vitest'
import { PAGE_TABLE } from './support/bare-cpu.ts'
import type { BareCpu } from './support/bare-cpu.ts'
import { handler, runBothWays } from './support/both-ways.ts'

const test = sliceTests(3)

const PAGE = 0x30
const OTHER = 0x31
const BASE = PAGE << 12
const ROUNDS = 40
/** Registers 2, 5 and 40 are words; all others are the device's. */
const STORED = { storedLo: (1 << 2) | (1 << 5), storedHi: 1 << (40 - 32) }

/** A device whose register n has the value 0101H · n, or −1 where another page is mapped in its place. */
function prepare(pc: BareCpu): void {
  const ma = pc.memory.allocate(256, 8, 'registers')
  for (let i = 0; i < 64; i++) pc.memory.u32[(ma >>> 2) + i] = 0x0101 * i
  pc.host.devices.set(PAGE, { read: (offset) => BigInt(0x0101 * ((offset & 0xfff) >> 4)), write: () => true })
  pc.host.devices.set(OTHER, { read: () => 0xffff_ffff_ffffn, write: () => true })
  pc.host.registerPage = (gpa, into) => {
    if (gpa >>> 12 !== PAGE) return false
    Object.assign(into, { ma, ...STORED })
    return true
  }
}

/** Runs a loop of an access. @returns how often the device was read */
function run(access: (asm: Assembler) => void, further: (pc: BareCpu) => void = () => {}): number {
  const [{ host }] = runBothWays({
    code: (asm) => {
      const again = asm.label('again')
      asm.mov(x86.ecx, ROUNDS).mov(x86.rsi, BASE).bind(again)
      access(asm)
      asm.add(x86.rbx, x86.rax).dec(x86.ecx).jne(again).hlt()
    },
    prepare: (pc) => {
      prepare(pc)
      further(pc)
    },
  })
  return host.seen.length
}

test.each([0x20, 0x50, 0x280])('the register at %i is read from memory from the second time on', (offset) => {
  expect(run((asm) => asm.mov(x86.eax, x86.dword(x86.rsi, { disp: offset })))).toBe(1)
})

test.each<[string, (asm: Assembler) => void]>([
  ['the device’s own registers', (asm) => asm.mov(x86.eax, x86.dword(x86.rsi, { disp: 0x30 }))],
  ['registers beyond the 64', (asm) => asm.mov(x86.eax, x86.dword(x86.rsi, { disp: 0x420 }))],
  ['bytes between registers', (asm) => asm.mov(x86.eax, x86.dword(x86.rsi, { disp: 0x24 }))],
  ['a part of a register', (asm) => asm.xor(x86.eax, x86.eax).mov(x86.ax, x86.word(x86.rsi, { disp: 0x20 }))],
  ['a byte of a register', (asm) => asm.xor(x86.eax, x86.eax).mov(x86.al, x86.byte(x86.rsi, { disp: 0x20 }))],
  ['more than a register', (asm) => asm.mov(x86.rax, x86.qword(x86.rsi, { disp: 0x20 }))],
  ['stores', (asm) => asm.mov(x86.dword(x86.rsi, { disp: 0x20 }), x86.ecx)],
])('%s are the device’s', (_, access) => {
  expect(run(access)).toBe(ROUNDS)
})

test('the page is asked for again after a flush of the TLB', () => {
  expect(
    run((asm) =>
      asm
        .mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 }))
        .mov(x86.rax, x86.cr3)
        .mov(x86.cr3, x86.rax),
    ),
  ).toBe(ROUNDS)
})

test('another device is mapped in its place, with INVLPG: it is asked', () => {
  // The mapping changes at each round, from the one page to the other.
  const seen = run((asm) =>
    asm
      .mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 }))
      .mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 }))
      .xor(x86.qword(PAGE_TABLE + 8 * PAGE), 0x1000)
      .invlpg(x86.ptr(x86.rsi)),
  )
  expect(seen).toBe((ROUNDS / 2) * 3)
})

test('the same page of another linear address is another page', () => {
  const seen = run(
    (asm) => asm.mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 })).mov(x86.ebx, x86.dword(x86.rsi, { disp: 0x1020 })),
    (pc) => pc.write64(PAGE_TABLE + 8 * OTHER, BigInt(BASE | 7)),
  )
  expect(seen).toBe(2 * ROUNDS)
})

test('a data breakpoint on a register traps after each read', () => {
  const [pc] = runBothWays({
    code: (asm) => {
      const [again, on] = [asm.label('again'), asm.label('on')]
      asm
        .mov(x86.rsi, BASE)
        .mov(x86.ecx, ROUNDS)
        .lea(x86.rax, x86.ptr(x86.rsi, { disp: 0x20 }))
        .mov(x86.dr0, x86.rax)
        .bind(again)
      // Reads of four bytes at DR0 trap in the second half.
      asm
        .cmp(x86.ecx, ROUNDS / 2)
        .jne(on)
        .mov(x86.eax, 0xf_0001)
        .mov(x86.dr7, x86.rax)
        .bind(on)
      asm
        .mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 }))
        .add(x86.rbx, x86.rax)
        .dec(x86.ecx)
        .jne(again)
        .hlt()
    },
    prepare: (pc) => {
      prepare(pc)
      handler(pc, 1, (asm) => asm.inc(x86.qword(0x9100)).iretq())
    },
  })
  expect(pc.read64(0x9100)).toBe(BigInt(ROUNDS / 2))
})

test('what the kernel has read of its page, a user cannot: the read faults', () => {
  const [pc] = runBothWays({
    code: (asm) => {
      const [again, user] = [asm.label('again'), asm.label('user')]
      asm.mov(x86.rsi, BASE).mov(x86.ecx, ROUNDS).bind(again)
      asm
        .mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 }))
        .add(x86.rbx, x86.rax)
        .dec(x86.ecx)
        .jne(again)
      // SS, RSP, RFLAGS, CS and RIP of ring 3.
      asm.lea(x86.rax, x86.ptr(user)).push(0x23).push(0x7_0000).push(2).push(0x1b).push(x86.rax).iretq()
      asm
        .bind(user)
        .mov(x86.eax, x86.dword(x86.rsi, { disp: 0x20 }))
        .hlt()
    },
    prepare: (pc) => {
      prepare(pc)
      pc.write64(PAGE_TABLE + 8 * PAGE, BigInt(BASE | 3))
      handler(pc, 14, (asm) => asm.mov(x86.rax, x86.qword(x86.rsp)).hlt())
    },
  })
  expect([pc.register('rax'), pc.cpu.counts.faults]).toEqual([5n, 1])
})
