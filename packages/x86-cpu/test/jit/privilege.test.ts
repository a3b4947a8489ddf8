/** Changes of privilege in compiled code: what follows uses the translations of its own privilege level. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { PAGE_TABLE } from '../support/bare-cpu.ts'
import { handler, runBothWays } from '../support/both-ways.ts'

const PAGE_FAULT = 14
/** A page of the supervisor. */
const SECRET = 0x2_0000
const USER_STACK = 0x3_0000
const KERNEL_STACK = 0x4_0000
const FLAGS = 2
const [USER_CODE, USER_DATA] = [0x1b, 0x23]

/** Ways to a user's code. */
const WAYS: Readonly<Record<string, (asm: Assembler, user: Label) => void>> = {
  SYSRET: (asm, user) => asm.lea(x86.rcx, x86.ptr(user)).mov(x86.r11d, FLAGS).sysretq(),
  IRET: (asm, user) =>
    asm.push(USER_DATA).push(USER_STACK).push(FLAGS).push(USER_CODE).lea(x86.rax, x86.ptr(user)).push(x86.rax).iretq(),
}

describe.each(Object.entries(WAYS))('after %s', (_, leave) => {
  test('a user’s code cannot read what the supervisor has just read', () => {
    const ROUNDS = 40
    const [plain] = runBothWays({
      code: (asm) => {
        const [kernel, user, end] = [asm.label('kernel'), asm.label('user'), asm.label('end')]
        // SYSRET takes its selectors from STAR.
        asm.mov(x86.ecx, 0xc000_0080).rdmsr().or(x86.eax, 1).wrmsr()
        asm.mov(x86.ecx, 0xc000_0081).mov(x86.edx, 0x0b_0008).mov(x86.eax, 0).wrmsr()
        asm.mov(x86.ebx, ROUNDS).mov(x86.esi, SECRET).bind(kernel).mov(x86.rsp, KERNEL_STACK)
        asm.mov(x86.rdx, x86.qword(x86.rsi)).add(x86.rdx, x86.rdx).dec(x86.ebx).je(end)
        leave(asm, user)
        asm
          .bind(user)
          .mov(x86.rdx, x86.qword(x86.rsp))
          .mov(x86.rax, x86.qword(x86.rsi))
          .add(x86.rbx, x86.rax)
          .jmp(kernel)
        asm.bind(end).hlt()
      },
      prepare: (pc, at) => {
        pc.write64(SECRET, 0x1234n)
        pc.write64(PAGE_TABLE + 8 * (SECRET >>> 12), BigInt(SECRET | 3))
        handler(pc, PAGE_FAULT, (asm) =>
          asm
            .inc(x86.dword(0x9100))
            .mov(x86.rax, BigInt(at('kernel')))
            .jmp(x86.rax),
        )
      },
    })
    expect(plain.cpu.counts.faults).toBe(ROUNDS - 1)
  })
})

test('after CLAC the supervisor cannot read a user’s page that it has just read after STAC', () => {
  const ROUNDS = 40
  const [CR4_SMAP, USER_PAGE, LARGE_PAGE] = [1 << 21, 0x2_0000, 0x83]
  const [plain] = runBothWays({
    code: (asm) => {
      const [kernel, inner, end] = [asm.label('kernel'), asm.label('inner'), asm.label('end')]
      asm.mov(x86.rax, x86.cr4).or(x86.eax, CR4_SMAP).mov(x86.cr4, x86.rax)
      asm.mov(x86.ebx, ROUNDS).mov(x86.esi, USER_PAGE).bind(kernel).mov(x86.rsp, KERNEL_STACK).dec(x86.ebx).je(end)
      // A unit begins at the inner loop too, where the page may be read.
      asm
        .stac()
        .mov(x86.ecx, 5)
        .bind(inner)
        .mov(x86.rdx, x86.qword(x86.rsi))
        .add(x86.rdx, x86.rdx)
        .dec(x86.ecx)
        .jne(inner)
      asm.clac().mov(x86.rax, x86.qword(x86.rsi)).add(x86.rbx, x86.rax).jmp(kernel)
      asm.bind(end).hlt()
    },
    prepare: (pc, at) => {
      pc.write64(USER_PAGE, 0x1234n)
      // What the processor itself accesses is the supervisor's.
      for (const page of [0x9, 0x5f]) pc.write64(PAGE_TABLE + 8 * page, BigInt((page << 12) | 3))
      pc.write64(0x30_2008, BigInt(0x20_0000 | LARGE_PAGE))
      handler(pc, PAGE_FAULT, (asm) =>
        asm
          .inc(x86.dword(0x9100))
          .mov(x86.rax, BigInt(at('kernel')))
          .jmp(x86.rax),
      )
    },
  })
  expect(plain.cpu.counts.faults).toBe(ROUNDS - 1)
})
