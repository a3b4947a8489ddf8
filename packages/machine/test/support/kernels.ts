import { ACPI_PM } from '@retrap/devices'
import { Assembler, ax, dx, eax, edx } from '@retrap/x86-assembler'
import { elfImage, join, multibootHeader, note, words } from '@retrap/tooling/images'

/** Where test kernels are linked to. */
export const BASE = 0x10_0000
const PT_LOAD = 1
const PT_NOTE = 4
const XEN_ELFNOTE_PHYS32_ENTRY = 18

function assemble(address: number, build: (asm: Assembler) => void): Uint8Array {
  const asm = new Assembler({ bits: 32, address })
  build(asm)
  return asm.assemble().bytes
}

/** A multiboot ELF kernel of 32-bit code. */
export function multibootKernel(build: (asm: Assembler) => void): Uint8Array {
  const header = multibootHeader(3)
  const entry = BASE + header.length
  const bytes = join(header, assemble(entry, build))
  return elfImage(32, entry, [
    { type: PT_LOAD, virtualAddress: BASE, physicalAddress: BASE, bytes, memoryBytes: bytes.length },
  ])
}

/** A PVH ELF kernel of 32-bit code. */
export function pvhKernel(build: (asm: Assembler) => void): Uint8Array {
  const bytes = assemble(BASE, build)
  return elfImage(64, BASE, [
    { type: PT_NOTE, bytes: note('Xen', XEN_ELFNOTE_PHYS32_ENTRY, words(BASE)) },
    { type: PT_LOAD, virtualAddress: BASE, physicalAddress: BASE, bytes, memoryBytes: bytes.length },
  ])
}

/** A firmware image of 64 KiB whose 16-bit code starts at F000:0000. */
export function firmwareImage(build: (asm: Assembler) => void): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0 })
  const start = asm.here()
  build(asm)
  asm.org(0xfff0).jmp(start)
  asm.org(0xffff).db(0)
  return asm.assemble().bytes
}

/** Soft-off through the PM1a control register, as the DSDT's \_S5 says. */
export function powerOff(asm: Assembler): void {
  const loop = asm.label()
  asm
    .mov(edx, ACPI_PM.base + 4)
    .mov(eax, 0x2000 | (ACPI_PM.s5SleepType << 10))
    .out(dx, ax)
    .bind(loop)
    .hlt()
    .jmp(loop)
}
