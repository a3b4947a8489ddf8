import { defineDevice } from '@retrap/device'
import { createPc, type Pc, type PcOptions } from '@retrap/machine'
import * as x86 from '@retrap/x86-assembler'

/** Where code and header are. */
export const BASE = 0x10_0000
/** The page that faults when it is read. */
export const ABSENT = 0x80_0000
/** A device that takes its time. */
export const PRICE = 0xfed9_0000
/** Vectors of a BIOS's first interrupt, which the timer has. */
export const TIMER_VECTOR = 8
const DIRECTORY = 0x20_0000
const GATE = 0x8e00
const CODE_SELECTOR = 8

/** Addresses of instructions, and the kernel's end. */
export interface TracedPlaces {
  readonly ud2: number
  readonly load: number
  readonly halt: number
  readonly access: number
  readonly loop: number
  readonly off: number
}

/** A kernel that meets an exception of each sort, an interrupt and a device. */
export function tracedKernel(): { readonly bytes: Uint8Array; readonly places: TracedPlaces } {
  const asm = new x86.Assembler({ bits: 32, address: BASE })
  const entry = asm.label('entry')
  const [unused, badCode, pageFault, tick, idt, idtr] = Array.from({ length: 6 }, () => asm.label()) as Six
  const [gdt, gdtr] = [asm.label(), asm.label()]
  const [ud2, load, halt, access, loop, off] = Array.from({ length: 6 }, () => asm.label()) as Six
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry)
  asm.bind(entry).mov(x86.esp, x86.imm32(0x20_0000))
  // The first 4 MiB, and those with the device, by large pages.
  asm.mov(x86.dword(DIRECTORY), x86.imm32(0x83)).mov(x86.dword(DIRECTORY + 4 * (PRICE >>> 22)), x86.imm32(0xfec0_0083))
  asm.lgdt(x86.ptr(gdtr)).lidt(x86.ptr(idtr)).mov(x86.eax, x86.imm32(DIRECTORY)).mov(x86.cr3, x86.eax)
  asm
    .mov(x86.eax, x86.cr4)
    .or(x86.eax, x86.imm32(0x10))
    .mov(x86.cr4, x86.eax)
    .mov(x86.eax, x86.cr0)
    .or(x86.eax, x86.imm32(0x8000_0000))
    .mov(x86.cr0, x86.eax)
  asm.bind(ud2).ud2()
  asm.bind(load).mov(x86.eax, x86.dword(ABSENT))
  asm.sti().bind(halt).hlt().cli()
  asm.bind(access).mov(x86.eax, x86.dword(PRICE))
  asm.mov(x86.eax, x86.imm32(3)).bind(loop).dec(x86.eax).jnz(loop)
  asm.bind(off).mov(x86.dx, x86.imm16(0x604)).mov(x86.eax, x86.imm32(0x2000)).out(x86.dx, x86.eax).hlt()
  // UD2 has 2 bytes, the load 5.
  asm.bind(badCode).add(x86.dword(x86.esp), x86.imm32(2)).iretd()
  asm.bind(pageFault).add(x86.esp, x86.imm32(4)).add(x86.dword(x86.esp), x86.imm32(5)).iretd()
  asm.bind(tick).mov(x86.al, 0x20).out(x86.imm8(0x20), x86.al).bind(unused).iretd()
  asm.align(8).bind(idt)
  for (let vector = 0; vector < 16; vector++) {
    const handler = vector === 6 ? badCode : vector === 14 ? pageFault : vector === TIMER_VECTOR ? tick : unused
    asm.dw(handler.bits(0, 16), CODE_SELECTOR, GATE, handler.bits(16, 16))
  }
  asm
    .bind(idtr)
    .dw(16 * 8 - 1)
    .dd(idt)
  asm.align(8).bind(gdt).dd(0, 0, 0xffff, 0xcf_9a00, 0xffff, 0xcf_9200)
  asm
    .bind(gdtr)
    .dw(3 * 8 - 1)
    .dd(gdt)
  const program = asm.assemble()
  const at = (label: x86.Label): number => Number(program.addressOf(label))
  const places = { ud2: at(ud2), load: at(load), halt: at(halt), access: at(access), loop: at(loop), off: at(off) }
  return { bytes: program.bytes, places }
}

type Six = [x86.Label, x86.Label, x86.Label, x86.Label, x86.Label, x86.Label]

/** A device that answers after some milliseconds. */
export const price = defineDevice({
  name: 'price',
  mmio: { base: PRICE, size: 0x1000 },
  async read() {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return 7
  },
})

/** A PC with the kernel and the device. */
export function tracedPc(options: Partial<PcOptions> = {}): Promise<Pc> {
  const { bytes } = tracedKernel()
  return createPc({ memoryBytes: 16 << 20, kernel: bytes, devices: [price], clock: 'deterministic', ...options })
}
