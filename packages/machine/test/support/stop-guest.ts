import { setImmediate as turn } from 'node:timers/promises'
import { type DeviceModel, defineDevice } from '@retrap/device'
import {
  al,
  type Assembler,
  byte,
  cr0,
  cr3,
  cr4,
  ds,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edi,
  esi,
  es,
  esp,
  far,
  fword,
  ss,
  imm32,
} from '@retrap/x86-assembler'
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
  out: (asm: Assembler) => asm.mov(dx, PORTS).mov(al, 0x41).out(dx, al),
  in: (asm: Assembler) =>
    asm
      .mov(dx, PORTS + 1)
      .in(al, dx)
      .add(ebx, eax),
  quick: (asm: Assembler) => asm.mov(al, 0x12).out(0x80, al).in(al, 0x21),
  insb: (asm: Assembler) => asm.mov(dx, PORTS).mov(edi, DATA).mov(ecx, 40).rep().insb(),
  outsb: (asm: Assembler) => asm.mov(dx, PORTS).mov(esi, DATA).mov(ecx, 5).rep().outsb(),
  read: (asm: Assembler) => asm.mov(eax, dword(DEVICE)).add(ebx, eax),
  write: (asm: Assembler) => asm.mov(dword(DEVICE + 4), ebx),
  modify: (asm: Assembler) => asm.inc(dword(DEVICE + 8)),
  apic: (asm: Assembler) => asm.mov(eax, dword(APIC + 0x30)).mov(dword(APIC + 0x80), 0),
  copy: (asm: Assembler) => asm.mov(esi, DEVICE).mov(edi, DATA).mov(ecx, 8).rep().movsd(),
  msr: (asm: Assembler) => asm.mov(ecx, MSR).rdmsr().inc(eax).wrmsr(),
  fault: (asm: Assembler) => {
    unmap(asm, 1)
    return asm
      .mov(esi, DATA)
      .mov(edi, ABSENT + 0xff0)
      .mov(ecx, 40)
      .rep()
      .movsb()
  },
  device: (asm: Assembler) => {
    unmap(asm, 1)
    return asm
      .mov(esi, DEVICE)
      .mov(edi, ABSENT + 0xff8)
      .mov(ecx, 6)
      .rep()
      .movsd()
  },
  undefined: (asm: Assembler) => asm.ud2(),
  patch: (asm: Assembler) => {
    // The next instruction but one, which adds one more each time.
    const next = asm.label()
    return asm
      .inc(dword(next.plus(2)))
      .nop()
      .bind(next)
      .add(ebx, imm32(0x1000))
  },
  time: (asm: Assembler) => asm.rdtsc().add(ebx, eax),
  work: (asm: Assembler) => {
    asm.mov(ecx, 300)
    const again = asm.here()
    return asm.add(ebx, ecx).dec(ecx).jnz(again)
  },
} satisfies Readonly<Record<string, (asm: Assembler) => unknown>>

/** The name of a part. */
export type Part = keyof typeof PARTS
export const ALL_PARTS = Object.keys(PARTS) as readonly Part[]

function unmap(asm: Assembler, page: number): void {
  asm.mov(dword(TABLE + 4 * page), 0).invlpg(byte(ABSENT + (page << 12)))
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
      asm.mov(dword(GDT + 4 * i), imm32(value))
    asm
      .lgdt(fword(GDT + 24))
      .jmpf(far(8, flat))
      .bind(flat)
      .mov(eax, 0x10)
      .mov(ds, eax)
      .mov(es, eax)
      .mov(ss, eax)
    asm.mov(esp, 0x1f_0000).cld().xor(ebx, ebx)
    asm.mov(edi, DIRECTORY).mov(eax, FLAT_PAGES).mov(ecx, 1024)
    const fill = asm.here()
    asm.stosd().add(eax, imm32(0x40_0000)).dec(ecx).jnz(fill)
    asm.mov(dword(DIRECTORY + 4), TABLE | PRESENT).mov(dword(TABLE), ABSENT | PRESENT)
    asm.mov(eax, DIRECTORY).mov(cr3, eax).mov(eax, cr4).or(eax, 0x10).mov(cr4, eax)
    asm.mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)
    const gate = (vector: number, handler: number): void => {
      asm.mov(dword(IDT + 8 * vector), imm32((8 << 16) | (handler & 0xffff)))
      asm.mov(dword(IDT + 8 * vector + 4), imm32((handler & 0xffff_0000) | 0x8e00))
    }
    gate(INVALID_OPCODE, HANDLERS)
    gate(PAGE_FAULT, HANDLERS + 0x100)
    asm.mov(dword(IDT + 0x800), imm32(((IDT & 0xffff) << 16) | 0x7ff)).mov(dword(IDT + 0x804), IDT >>> 16)
    asm
      .lidt(fword(IDT + 0x800))
      .mov(dword(ROUNDS), times)
      .bind(again)
    for (const part of parts) PARTS[part](asm)
    asm.dec(dword(ROUNDS)).jz(over).jmp(again)
    asm.bind(over).mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
    asm.org(HANDLERS).add(dword(esp), 2).iretd()
    asm
      .org(HANDLERS + 0x100)
      .mov(dword(TABLE + 4), imm32((ABSENT + 0x1000) | PRESENT))
      .add(esp, 4)
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
