/** Compiled code at linear addresses all over the address space, in two pages. */
import { Assembler, ecx, edx, ptr, qword, rax, rbx, rcx, rdi, rdx, rsi, rsp, st0 } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import type { BareCpu } from '../support/bare-cpu.ts'
import { runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

/** The PML4 of `BareCpu`. */
const ROOT = 0x30_0000
const FRAME = 0x60
const TABLES = 0x31_0000
const ROUNDS = 100
/** Where FXSAVE64 stores the state of the x87, and the instruction pointer in it. */
const IMAGE = 0x9200
const IMAGE_RIP = IMAGE + 8

/** Maps two pages to neighbouring frames. */
function map(pc: BareCpu, linear: bigint): void {
  let free = TABLES
  for (let i = 0; i < 2; i++) {
    const page = BigInt.asUintN(48, linear >> 12n) + BigInt(i)
    let table = ROOT
    for (const level of [27n, 18n, 9n]) {
      const entry = table + 8 * Number((page >> level) & 511n)
      if (pc.read32(entry) === 0) {
        pc.write64(entry, BigInt(free | 7))
        free += 0x1000
      }
      table = Number(pc.read64(entry) & ~0xfffn)
    }
    pc.write64(table + 8 * Number(page & 511n), BigInt(((FRAME + i) << 12) | 7))
  }
}

/** A loop that begins near the end of the first page. */
function loop(linear: bigint): { readonly bytes: Uint8Array; readonly start: bigint } {
  const start = linear + 0xfc0n
  const asm = new Assembler({ address: start })
  const [again, table, routine] = [asm.label('again'), asm.label('table'), asm.label('routine')]
  const [first, second, value] = [asm.label('first'), asm.label('second'), asm.label('value')]
  asm.fninit().mov(ecx, ROUNDS).bind(again).call(routine)
  asm
    .mov(edx, ecx)
    .and(edx, 1)
    .lea(rsi, ptr(table))
    .jmp(qword(rsi, { index: rdx, scale: 8 }))
  asm.bind(first).add(rax, rcx)
  asm
    .org(linear + 0x1000n, 0x90)
    .bind(second)
    .lea(rdi, ptr(second))
    .add(rbx, rdi)
  asm
    .fld(qword(value))
    .fadd(st0, st0)
    .fstp(st0)
    .fxsave64(ptr(IMAGE))
    .add(rbx, qword(IMAGE_RIP))
    .dec(ecx)
    .jne(again)
    .hlt()
  asm.bind(routine).imul(rbx, rbx, 3).add(rbx, ptr(rsp)).fld1().fstp(st0).ret()
  asm.align(8).bind(table).dq(first).dq(second).bind(value).float64(1.5)
  return { bytes: asm.assemble().bytes, start }
}

describe('compiled code', () => {
  test.each([
    ['below 2 GiB and above', 0x7fff_f000n],
    ['below 4 GiB and above', 0xffff_f000n],
    ['in the first two pages above 4 GiB', 0x1_0000_0000n],
    ['at the end of the lower half', 0x7fff_ffff_e000n],
    ['at the beginning of the upper half', 0xffff_8000_0000_0000n],
    ['where the low word is 0 in the second page', 0xffff_ffff_ffff_f000n - 0xffff_f000n - 0x1000n],
    ['at 2 GiB from the end', 0xffff_ffff_7fff_f000n],
    ['at the end', 0xffff_ffff_ffff_e000n],
  ])('%s has its addresses', (_, linear) => {
    const { bytes, start } = loop(linear)
    const [plain, compiled] = runBothWays({
      code: (asm) => asm.mov(rax, start).jmp(rax),
      prepare: (pc) => {
        map(pc, linear)
        pc.load((FRAME << 12) + 0xfc0, bytes)
      },
    })
    expect(plain.register('rcx')).toBe(0n)
    // One unit has the loop, and the places that its computed jump leads to are found one after the other.
    expect(compiled.engine.jitCounts?.units).toBeLessThan(8)
  })
})
