// One program in three modes: a boot sector that goes to long mode and says so, run by QEMU.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import * as x86 from '../src/index.ts'
import type { Label, Program } from '../src/index.ts'

const QEMU = 'qemu-system-x86_64'
const hasQemu = hasProgram(QEMU)

const SERIAL = 0x3f8
/** QEMU's isa-debug-exit: it ends with twice the value written here, plus one. */
const DEBUG_EXIT = 0xf4
const PAGE_TABLES = 0x1000

/** A segment descriptor: base 0, limit 4 GiB; `flags` is G, D/B and L, `access` its type. */
const descriptor = (flags: number, access: number): bigint =>
  0xffffn | (BigInt(access) << 40n) | (0xfn << 48n) | (BigInt(flags) << 52n)

function program(): Program {
  const asm = new x86.Assembler({ bits: 16, address: 0x7c00 })
  const [protectedMode, longMode, gdt, gdtEnd, done] = ['protectedMode', 'longMode', 'gdt', 'gdtEnd', 'done'].map(
    (name) => asm.label(name),
  ) as [Label, Label, Label, Label, Label]
  const texts = { real: asm.label(), protected: asm.label(), long: asm.label() }

  asm.cli().xor(x86.ax, x86.ax).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax).mov(x86.sp, 0x7c00).cld()
  asm.mov(x86.esi, texts.real).mov(x86.dx, SERIAL)
  const next16 = asm.here()
  asm.addressSize(32).lodsb().test(x86.al, x86.al)
  const out16 = asm.label()
  asm.jz(out16).out(x86.dx, x86.al).jmp(next16).bind(out16)

  // Page tables that map the first 2 MiB by one large page.
  asm
    .mov(x86.di, PAGE_TABLES)
    .mov(x86.ecx, 0x3000 / 4)
    .xor(x86.eax, x86.eax)
    .rep()
    .stosd()
  asm.mov(x86.dword(PAGE_TABLES), PAGE_TABLES + 0x1003)
  asm.mov(x86.dword(PAGE_TABLES + 0x1000), PAGE_TABLES + 0x2003)
  asm.mov(x86.dword(PAGE_TABLES + 0x2000), 0x83)
  const gdtr = asm.label()
  asm.lgdt(x86.ptr(gdtr)).mov(x86.eax, x86.cr0).or(x86.al, 1).mov(x86.cr0, x86.eax).jmp(x86.far32(8, protectedMode))

  asm.bits(32).bind(protectedMode)
  asm.mov(x86.ax, 0x10).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax).mov(x86.esi, texts.protected)
  const next32 = asm.here()
  const out32 = asm.label()
  asm.lodsb().test(x86.al, x86.al).jz(out32).out(x86.dx, x86.al).jmp(next32).bind(out32)
  // PAE and SSE; EFER.LME; paging.
  asm.mov(x86.eax, x86.cr4).or(x86.eax, 0x620).mov(x86.cr4, x86.eax).mov(x86.eax, PAGE_TABLES).mov(x86.cr3, x86.eax)
  asm.mov(x86.ecx, 0xc000_0080).rdmsr().or(x86.eax, 0x100).wrmsr()
  asm
    .mov(x86.eax, x86.cr0)
    .and(x86.eax, ~0x4)
    .or(x86.eax, 0x8000_0002)
    .mov(x86.cr0, x86.eax)
    .jmp(x86.far(0x18, longMode))

  asm.bits(64).bind(longMode)
  const table = asm.label('table')
  const [first, second] = [asm.label('first'), asm.label('second')]
  // RDMSR took EDX.
  asm
    .mov(x86.dx, SERIAL)
    .lea(x86.rsi, x86.ptr(x86.rip(texts.long)))
    .lea(x86.rbx, x86.ptr(table))
  const next64 = asm.here()
  asm.lodsb().test(x86.al, x86.al).jz(done).out(x86.dx, x86.al).jmp(next64)
  // A table of distances, then a sum of two doubles, whose bits are the exit code.
  asm
    .bind(done)
    .mov(x86.eax, 1)
    .movsxd(x86.rax, x86.dword(x86.rbx, { index: x86.rax, scale: 4 }))
    .add(x86.rax, x86.rbx)
    .jmp(x86.rax)
  asm.bind(first).hlt().jmp(first)
  const numbers = asm.label('numbers')
  asm
    .bind(second)
    .movsd(x86.xmm0, x86.qword(numbers))
    .addsd(x86.xmm0, x86.qword(numbers.plus(8)))
    .movapd(x86.xmm1, x86.xmm0)
  asm.cvttsd2si(x86.rdi, x86.xmm1).mov(x86.eax, x86.edi).out(DEBUG_EXIT, x86.eax).hlt()

  asm.align(8).bind(gdt).dq(0, descriptor(0xc, 0x9a), descriptor(0xc, 0x92), descriptor(0xa, 0x9a)).bind(gdtEnd)
  asm.bind(gdtr).dw(gdtEnd.minus(gdt).minus(1)).dd(gdt)
  asm.bind(table).dd(first.minus(table), second.minus(table))
  asm.align(8).bind(numbers).float64(1.5, 15.75)
  asm.bind(texts.real).asciz('real ').bind(texts.protected).asciz('protected ').bind(texts.long).asciz('long\n')
  return asm.org(0x7dfe).dw(0xaa55).assemble()
}

describe('a boot sector in 16-, 32- and 64-bit code', () => {
  test('is one sector', () => {
    expect(program().bytes.length).toBe(512)
  })

  test.skipIf(!hasQemu)(
    `runs in QEMU${skipNote(hasQemu, 'qemu-system-x86_64 is not installed')}`,
    { timeout: 60_000 },
    () => {
      const folder = temporaryFolder('boot')
      const image = join(folder, 'boot.img')
      const sectors = new Uint8Array(1_474_560)
      sectors.set(program().bytes)
      writeFileSync(image, sectors)
      const { stdout, status } = spawnSync(
        QEMU,
        [
          ...['-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot', '-m', '16', '-net', 'none'],
          ...[
            '-drive',
            `file=${image},format=raw,if=floppy`,
            '-device',
            `isa-debug-exit,iobase=${DEBUG_EXIT},iosize=4`,
          ],
        ],
        { encoding: 'utf8', timeout: 100_000 },
      )
      expect(stdout).toBe('real protected long\n')
      expect(status).toBe(2 * 17 + 1)
    },
  )
})
