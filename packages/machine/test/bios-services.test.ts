import { DebugExit } from '@retrap/devices'
import * as x86 from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { expect, test } from 'vitest'
import { createPc } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const CODE = 0x2000
const GDT = 0x1000
const IDTR = 0x1100
const RESULTS = 0x3000
const MAP = 0x4000
const MIB = 1 << 20

/** A multiboot kernel that goes back to real mode, as Xen's does, and asks the BIOS. */
function realModeKernel(ask: (asm: x86.Assembler) => void): Uint8Array {
  return multibootKernel((asm) => {
    const code16 = asm.label()
    const end = asm.label()
    const real = asm.label()
    const gdt = [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x0000_9b00_0000_ffffn, 0x0000_9300_0000_ffffn]
    asm.mov(x86.esp, 0x7000)
    for (const [i, entry] of gdt.entries()) {
      asm.mov(x86.dword(GDT + 8 * i), Number(entry & 0xffff_ffffn) | 0)
      asm.mov(x86.dword(GDT + 8 * i + 4), Number(entry >> 32n) | 0)
    }
    asm
      .mov(x86.word(IDTR + 8), 8 * gdt.length - 1)
      .mov(x86.dword(IDTR + 10), GDT)
      .lgdt(x86.fword(IDTR + 8))
    asm
      .mov(x86.word(IDTR), 0x3ff)
      .mov(x86.dword(IDTR + 2), 0)
      .lidt(x86.fword(IDTR))
    asm.mov(x86.esi, code16).mov(x86.edi, CODE).mov(x86.ecx, end.minus(code16)).rep().movsb()
    asm.jmpf(x86.far(0x18, CODE))
    asm.bits(16).bind(code16)
    asm.mov(x86.ax, 0x20).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax)
    asm.mov(x86.eax, x86.cr0).and(x86.al, 0xfe).mov(x86.cr0, x86.eax)
    asm.jmpf(x86.far(0, real.minus(code16).plus(CODE)))
    asm.bind(real)
    asm.xor(x86.ax, x86.ax).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax).mov(x86.sp, 0x7000)
    ask(asm)
    asm.mov(x86.dx, 0x501).mov(x86.al, 1).out(x86.dx, x86.al).hlt().bind(end)
  })
}

test('a kernel that goes back to real mode finds the services of a BIOS', async () => {
  const kernel = realModeKernel((asm) => {
    let at = RESULTS
    const keep = (): void => {
      asm.mov(x86.word(at), x86.ax)
      at += 2
    }
    const flags = (): void => {
      asm.pushf().pop(x86.ax)
      keep()
    }
    asm.int(0x12)
    keep()
    asm.mov(x86.ax, 0xe801).clc().int(0x15)
    keep()
    asm.mov(x86.ax, 0x5678).stc().int(0x15)
    keep()
    flags()
    asm.mov(x86.ah, 0x41).mov(x86.dx, 0x80).clc().int(0x13)
    keep()
    flags()
    asm.mov(x86.ah, 1).int(0x16)
    flags()
    asm.mov(x86.ax, 0x0e00 | 'h'.charCodeAt(0)).int(0x10)
    asm.mov(x86.ax, 0x0e00 | 'i'.charCodeAt(0)).int(0x10)
    asm
      .xor(x86.ebx, x86.ebx)
      .mov(x86.di, MAP)
      .mov(x86.word(RESULTS + 0x42), 0)
    const next = asm.here()
    asm
      .mov(x86.eax, 0xe820)
      .mov(x86.edx, 0x534d_4150)
      .mov(x86.ecx, 20)
      .int(0x15)
      .add(x86.di, 20)
      .inc(x86.word(RESULTS + 0x42))
      .test(x86.ebx, x86.ebx)
      .jnz(next)
    asm.mov(x86.eax, 0xe820).mov(x86.edx, 0).int(0x15)
    flags()
  })
  const pc = await createPc({
    jit: TEST_JIT,
    memoryBytes: 32 * MIB,
    codeCacheBytes: 4 * MIB,
    kernel,
    devices: [new DebugExit({ iobase: 0x501 })],
  })
  let text = ''
  pc.serial.onTransmit((bytes) => {
    text += String.fromCharCode(...bytes)
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit', code: 3 })
  expect(text).toBe('hi')
  const bytes = new Uint8Array(0x2000)
  pc.domain.guestMemory.read(RESULTS, bytes)
  const view = new DataView(bytes.buffer)
  const at = (index: number): number => view.getUint16(2 * index, true)
  expect(at(0)).toBe(639)
  expect(at(1)).toBe(15 * 1024)
  // Not there: carry and AH = 86h.
  expect([at(2), at(3) & 1]).toEqual([0x8678, 1])
  expect([at(4) >> 8, at(5) & 1]).toEqual([0x86, 1])
  // No key: the zero flag.
  expect(at(6) & 0x40).toBe(0x40)
  expect(at(7) & 1).toBe(1)
  const entries = Array.from({ length: view.getUint16(0x42, true) }, (_, i) => {
    const entry = 0x1000 + 20 * i
    return [view.getBigUint64(entry, true), view.getBigUint64(entry + 8, true), view.getUint32(entry + 16, true)]
  })
  expect(entries).toEqual([
    [0n, 0x9_fc00n, 1],
    [0x9_fc00n, 0x400n, 2],
    [0xe_0000n, 0x2_0000n, 2],
    [0x10_0000n, BigInt(31 * MIB), 1],
  ])
})

test('the timer ticks from the start, with a handler that counts them', async () => {
  const kernel = realModeKernel((asm) => {
    const wait = asm.sti().here()
    asm.cmp(x86.dword(0x46c), 3).jb(wait).cli()
  })
  const pc = await createPc({
    jit: TEST_JIT,
    memoryBytes: 32 * MIB,
    codeCacheBytes: 4 * MIB,
    kernel,
    clock: 'deterministic',
    devices: [new DebugExit({ iobase: 0x501 })],
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit', code: 3 })
})
