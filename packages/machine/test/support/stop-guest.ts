import { setImmediate as turn } from 'node:timers/promises'
import { type DeviceModel, defineDevice } from '@retrap/device'
import * as x86 from '@retrap/x86-assembler'
import { BASE, multibootKernel } from './kernels.ts'

export const EXIT_PORT = 0xf4
/** Ports of a model that answers when it likes. */
export const PORTS = 0xe000
/** A page of registers of another one. */
export const DEVICE = 0xfed9_0000
export const APIC = 0xfee0_0000
/** IA32_SYSENTER_ESP. */
export const MSR = 0x175
/** RAM that is not there, but for what #PF's handler maps. */
export const ABSENT = 0x40_0000
export const PAGE_FAULT = 14
export const INVALID_OPCODE = 6
export const HANDLERS = BASE + 0x8000

const DATA = 0x18_0ff0
const DIRECTORY = 0x20_0000
const TABLE = 0x20_1000
const IDT = 0x20_2000
const FLAT_PAGES = 0x83
const PRESENT = 3
const ROUNDS = 0x20_3000
const GDT = 0x20_4000

/** A part of a guest, by name: the asm of each leaves EAX, ECX, EDX, ESI and EDI anyhow. */
const PARTS = {
  out: (asm: x86.Assembler) => asm.mov(x86.dx, PORTS).mov(x86.al, 0x41).out(x86.dx, x86.al),
  in: (asm: x86.Assembler) =>
    asm
      .mov(x86.dx, PORTS + 1)
      .in(x86.al, x86.dx)
      .add(x86.ebx, x86.eax),
  quick: (asm: x86.Assembler) => asm.mov(x86.al, 0x12).out(0x80, x86.al).in(x86.al, 0x21),
  insb: (asm: x86.Assembler) => asm.mov(x86.dx, PORTS).mov(x86.edi, DATA).mov(x86.ecx, 40).rep().insb(),
  outsb: (asm: x86.Assembler) => asm.mov(x86.dx, PORTS).mov(x86.esi, DATA).mov(x86.ecx, 5).rep().outsb(),
  read: (asm: x86.Assembler) => asm.mov(x86.eax, x86.dword(DEVICE)).add(x86.ebx, x86.eax),
  write: (asm: x86.Assembler) => asm.mov(x86.dword(DEVICE + 4), x86.ebx),
  modify: (asm: x86.Assembler) => asm.inc(x86.dword(DEVICE + 8)),
  apic: (asm: x86.Assembler) => asm.mov(x86.eax, x86.dword(APIC + 0x30)).mov(x86.dword(APIC + 0x80), 0),
  copy: (asm: x86.Assembler) => asm.mov(x86.esi, DEVICE).mov(x86.edi, DATA).mov(x86.ecx, 8).rep().movsd(),
  msr: (asm: x86.Assembler) => asm.mov(x86.ecx, MSR).rdmsr().inc(x86.eax).wrmsr(),
  fault: (asm: x86.Assembler) => {
    unmap(asm, 1)
    return asm
      .mov(x86.esi, DATA)
      .mov(x86.edi, ABSENT + 0xff0)
      .mov(x86.ecx, 40)
      .rep()
      .movsb()
  },
  device: (asm: x86.Assembler) => {
    unmap(asm, 1)
    return asm
      .mov(x86.esi, DEVICE)
      .mov(x86.edi, ABSENT + 0xff8)
      .mov(x86.ecx, 6)
      .rep()
      .movsd()
  },
  undefined: (asm: x86.Assembler) => asm.ud2(),
  patch: (asm: x86.Assembler) => {
    // The next instruction but one, which adds one more each time.
    const next = asm.label()
    return asm
      .inc(x86.dword(next.plus(2)))
      .nop()
      .bind(next)
      .add(x86.ebx, x86.imm32(0x1000))
  },
  time: (asm: x86.Assembler) => asm.rdtsc().add(x86.ebx, x86.eax),
  work: (asm: x86.Assembler) => {
    asm.mov(x86.ecx, 300)
    const again = asm.here()
    return asm.add(x86.ebx, x86.ecx).dec(x86.ecx).jnz(again)
  },
} satisfies Readonly<Record<string, (asm: x86.Assembler) => unknown>>

export type Part = keyof typeof PARTS
export const ALL_PARTS = Object.keys(PARTS) as readonly Part[]

function unmap(asm: x86.Assembler, page: number): void {
  asm.mov(x86.dword(TABLE + 4 * page), 0).invlpg(x86.byte(ABSENT + (page << 12)))
}

/** A kernel with paging that goes through parts, so often, and ends. #PF's handler maps a page, #UD's goes on behind UD2. */
export function stopGuest(parts: readonly Part[], times = 1): Uint8Array {
  return multibootKernel((asm) => {
    const [again, over, flat] = [asm.label(), asm.label(), asm.label()]
    // Null, code, data: IRET loads CS.
    for (const [i, value] of [
      0,
      0,
      0xffff,
      0xcf_9a00,
      0xffff,
      0xcf_9200,
      0x17 | ((GDT & 0xffff) << 16),
      GDT >>> 16,
    ].entries())
      asm.mov(x86.dword(GDT + 4 * i), x86.imm32(value))
    asm
      .lgdt(x86.fword(GDT + 24))
      .jmpf(x86.far(8, flat))
      .bind(flat)
      .mov(x86.eax, 0x10)
      .mov(x86.ds, x86.eax)
      .mov(x86.es, x86.eax)
      .mov(x86.ss, x86.eax)
    asm.mov(x86.esp, 0x1f_0000).cld().xor(x86.ebx, x86.ebx)
    asm.mov(x86.edi, DIRECTORY).mov(x86.eax, FLAT_PAGES).mov(x86.ecx, 1024)
    const fill = asm.here()
    asm.stosd().add(x86.eax, x86.imm32(0x40_0000)).dec(x86.ecx).jnz(fill)
    asm.mov(x86.dword(DIRECTORY + 4), TABLE | PRESENT).mov(x86.dword(TABLE), ABSENT | PRESENT)
    asm.mov(x86.eax, DIRECTORY).mov(x86.cr3, x86.eax).mov(x86.eax, x86.cr4).or(x86.eax, 0x10).mov(x86.cr4, x86.eax)
    asm.mov(x86.eax, x86.cr0).or(x86.eax, x86.imm32(0x8000_0000)).mov(x86.cr0, x86.eax)
    const gate = (vector: number, handler: number): void => {
      asm.mov(x86.dword(IDT + 8 * vector), x86.imm32((8 << 16) | (handler & 0xffff)))
      asm.mov(x86.dword(IDT + 8 * vector + 4), x86.imm32((handler & 0xffff_0000) | 0x8e00))
    }
    gate(INVALID_OPCODE, HANDLERS)
    gate(PAGE_FAULT, HANDLERS + 0x100)
    asm.mov(x86.dword(IDT + 0x800), x86.imm32(((IDT & 0xffff) << 16) | 0x7ff)).mov(x86.dword(IDT + 0x804), IDT >>> 16)
    asm
      .lidt(x86.fword(IDT + 0x800))
      .mov(x86.dword(ROUNDS), times)
      .bind(again)
    for (const part of parts) PARTS[part](asm)
    asm.dec(x86.dword(ROUNDS)).jz(over).jmp(again)
    asm.bind(over).mov(x86.dx, EXIT_PORT).mov(x86.al, 0).out(x86.dx, x86.al).hlt()
    asm.org(HANDLERS).add(x86.dword(x86.esp), 2).iretd()
    asm
      .org(HANDLERS + 0x100)
      .mov(x86.dword(TABLE + 4), x86.imm32((ABSENT + 0x1000) | PRESENT))
      .add(x86.esp, 4)
      .iretd()
  })
}

/** An access, as a model has seen it. */
export interface SeenAccess {
  readonly kind: 'port' | 'mmio'
  readonly address: number
  readonly size: number
  readonly write: boolean
  readonly value: bigint
}

/** Models that answer when they like. @param seen - receives what they are asked, and may take its time */
export function lateModels(
  seen: (access: SeenAccess) => void | Promise<void> = () => undefined,
): readonly DeviceModel[] {
  let asked = 0
  const model = (kind: SeenAccess['kind'], base: number, bytes: number): DeviceModel => {
    const answer = async (offset: number, size: number, written?: number): Promise<number> => {
      const value = written ?? ++asked & 0xff
      if (asked % 3 === 0) await turn()
      await seen({ kind, address: base + offset, size, write: written !== undefined, value: BigInt(value >>> 0) })
      return value
    }
    const range = { base, size: bytes }
    return defineDevice({
      name: `late ${kind}`,
      ...(kind === 'port' ? { ports: range } : { mmio: range }),
      read: (offset, size) => answer(offset, size),
      write: async (offset, size, value) => void (await answer(offset, size, value)),
      save: () => ({ asked }),
      restore: (state) => void ({ asked } = state as { asked: number }),
    })
  }
  return [model('port', PORTS, 4), model('mmio', DEVICE, 64)]
}
