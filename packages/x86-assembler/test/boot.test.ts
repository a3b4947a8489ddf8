// One program in three modes: a boot sector that goes to long mode and says so, run by QEMU.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import {
  al,
  Assembler,
  ax,
  cr0,
  cr3,
  cr4,
  di,
  ds,
  dword,
  dx,
  eax,
  ecx,
  edi,
  es,
  esi,
  far,
  far32,
  ptr,
  qword,
  rax,
  rbx,
  rdi,
  rip,
  rsi,
  sp,
  ss,
  xmm0,
  xmm1,
} from '../src/index.ts'
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
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  const [protectedMode, longMode, gdt, gdtEnd, done] = ['protectedMode', 'longMode', 'gdt', 'gdtEnd', 'done'].map(
    (name) => asm.label(name),
  ) as [Label, Label, Label, Label, Label]
  const texts = { real: asm.label(), protected: asm.label(), long: asm.label() }

  asm.cli().xor(ax, ax).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(sp, 0x7c00).cld()
  asm.mov(esi, texts.real).mov(dx, SERIAL)
  const next16 = asm.here()
  asm.addressSize(32).lodsb().test(al, al)
  const out16 = asm.label()
  asm.jz(out16).out(dx, al).jmp(next16).bind(out16)

  // Page tables that map the first 2 MiB by one large page.
  asm
    .mov(di, PAGE_TABLES)
    .mov(ecx, 0x3000 / 4)
    .xor(eax, eax)
    .rep()
    .stosd()
  asm.mov(dword(PAGE_TABLES), PAGE_TABLES + 0x1003)
  asm.mov(dword(PAGE_TABLES + 0x1000), PAGE_TABLES + 0x2003)
  asm.mov(dword(PAGE_TABLES + 0x2000), 0x83)
  const gdtr = asm.label()
  asm.lgdt(ptr(gdtr)).mov(eax, cr0).or(al, 1).mov(cr0, eax).jmp(far32(8, protectedMode))

  asm.bits(32).bind(protectedMode)
  asm.mov(ax, 0x10).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(esi, texts.protected)
  const next32 = asm.here()
  const out32 = asm.label()
  asm.lodsb().test(al, al).jz(out32).out(dx, al).jmp(next32).bind(out32)
  // PAE and SSE; EFER.LME; paging.
  asm.mov(eax, cr4).or(eax, 0x620).mov(cr4, eax).mov(eax, PAGE_TABLES).mov(cr3, eax)
  asm.mov(ecx, 0xc000_0080).rdmsr().or(eax, 0x100).wrmsr()
  asm.mov(eax, cr0).and(eax, ~0x4).or(eax, 0x8000_0002).mov(cr0, eax).jmp(far(0x18, longMode))

  asm.bits(64).bind(longMode)
  const table = asm.label('table')
  const [first, second] = [asm.label('first'), asm.label('second')]
  // RDMSR took EDX.
  asm
    .mov(dx, SERIAL)
    .lea(rsi, ptr(rip(texts.long)))
    .lea(rbx, ptr(table))
  const next64 = asm.here()
  asm.lodsb().test(al, al).jz(done).out(dx, al).jmp(next64)
  // A table of distances, then a sum of two doubles, whose bits are the exit code.
  asm
    .bind(done)
    .mov(eax, 1)
    .movsxd(rax, dword(rbx, { index: rax, scale: 4 }))
    .add(rax, rbx)
    .jmp(rax)
  asm.bind(first).hlt().jmp(first)
  const numbers = asm.label('numbers')
  asm
    .bind(second)
    .movsd(xmm0, qword(numbers))
    .addsd(xmm0, qword(numbers.plus(8)))
    .movapd(xmm1, xmm0)
  asm.cvttsd2si(rdi, xmm1).mov(eax, edi).out(DEBUG_EXIT, eax).hlt()

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
      const folder = mkdtempSync(join(tmpdir(), 'retrap-boot-'))
      try {
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
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  )
})
