// Firmware that misuses everything a guest can reach: every mode of the processor, wrecked tables, every device.
import { enterProtectedMode } from '@retrap/x86-assembler/guest-code'
import type { Rng } from '@retrap/tooling/soak'
import * as x86 from '@retrap/x86-assembler'
import { type Access, drawAccesses, enable } from './hostile-accesses.ts'
import type { HostileMachine } from './hostile-machines.ts'

const ROM = 0xf_0000
const ROM_BYTES = 0x1_0000
/** Tables in the image, which the guest copies to RAM. */
const TABLES = 0xf_8000
const TABLES_BYTES = 0x5000
/** Where in RAM they go: GDT and TSS, IDT, and three levels of page tables. */
const RAM_TABLES = 0x1_0000
const GDT = RAM_TABLES
const IDT = RAM_TABLES + 0x1000
const TOP = RAM_TABLES + 0x2000
const MIDDLE = RAM_TABLES + 0x3000
const BOTTOM = RAM_TABLES + 0x4000
const STACK = 0x8_0000
/** More of them, of 20 bytes each, do not fit before the tables. */
const ACCESSES = 1200
const GDT_ENTRIES = 16
const CODE_32 = 0x08
const DATA = 0x10
const CODE_64 = 0x18
const CODE_16 = 0x20
const TSS = 0x28

const MODES = ['real', '16-bit protected', '32-bit', '32-bit paging', 'PAE', '64-bit'] as const
type Mode = (typeof MODES)[number]

/** Ports of the board's devices, and some of nobody's. */
const PORTS = [
  0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xf0, 0xb2,
  0x2f8, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x402, 0x510, 0x511, 0x514, 0x518, 0x600, 0x604, 0x608, 0xb000,
  0xb004, 0xb008, 0xcf8, 0xcf9, 0xcfc, 0xcfe, 0x7e, 0xafe0, 0x1234, 0xffff, 0x04, 0x05, 0x08, 0x0a, 0x0b, 0x0c, 0x81,
  0x1f0, 0x1f7, 0x170, 0x177, 0x3f2, 0x3f5, 0x3f6, 0x3c0, 0x3c4, 0x3ce, 0x3d4, 0x1ce, 0x1d0, 0xb3, 0xae00, 0xaf00,
]
/** Physical addresses of the board's devices, of ROM, and of the ends of regions. */
const ADDRESSES = [
  0xfee0_0000,
  0xfee0_0080,
  0xfee0_00b0,
  0xfee0_00f0,
  0xfee0_0300,
  0xfee0_0310,
  0xfee0_0320,
  0xfee0_0380,
  0xfee0_03e0,
  0xfec0_0000,
  0xfec0_0010,
  0xfed0_0000,
  0xfed0_0010,
  0xfed0_0100,
  0xfed0_0108,
  0xfed0_00f0,
  0xfed0_03fc,
  0xfee0_0ffe,
  0xf_0000,
  0xffff_fff0,
  0xa_0000,
  0x9_fffe,
  0xffff_fffe,
  0x10_0000,
  0xc000_0000,
  RAM_TABLES,
  TOP,
  IDT,
  GDT,
]
const MSRS = [
  0x10, 0x1b, 0x3a, 0x8b, 0x174, 0x175, 0x176, 0x179, 0x1a0, 0x1d9, 0x200, 0x250, 0x277, 0x2ff, 0x400, 0x6e0, 0x800,
  0x808, 0x80b, 0x830, 0x838, 0x83f, 0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0084, 0xc000_0100, 0xc000_0101,
  0xc000_0102, 0xc000_0103, 0x4000_0000, 0xdead,
]

/** A value of the kind that breaks things: an edge, a pointer, or anything. */
function value(rng: Rng): number {
  if (rng.chance(1, 3)) return rng.pick([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x80, 0xff, 0x1000, 0xfff])
  return rng.chance() ? (rng.pick(ADDRESSES) + rng.below(32)) >>> 0 : rng.u32()
}

/**
 * Whether a guest's page tables have been changed by something but the processor: accessed and dirty bits are left out.
 *
 * @param image - of `hostileFirmware`
 * @param read - reads guest memory
 */
export function pageTablesChanged(image: Uint8Array, read: (gpa: number, into: Uint8Array) => void): boolean {
  const found = new Uint8Array(RAM_TABLES + TABLES_BYTES - TOP)
  read(TOP, found)
  const given = image.subarray(TABLES - ROM + TOP - RAM_TABLES)
  // Bits 5 and 6 of an entry (Intel SDM vol. 3A 4.8).
  return found.some((byte, i) => (byte & (i % 4 === 0 ? 0x9f : 0xff)) !== (given[i]! & (i % 4 === 0 ? 0x9f : 0xff)))
}

/** A firmware image of 64 KiB for a machine, and what it is made of. */
export function hostileFirmware(
  rng: Rng,
  machine: HostileMachine,
): { readonly image: Uint8Array; readonly mode: Mode; readonly listing: () => string } {
  const mode = rng.pick(MODES)
  const asm = new x86.Assembler({ bits: 16, address: ROM })
  const payload = asm.label('payload')
  for (const device of machine.devices) {
    for (const access of enable(machine, device)) emitAccess(asm, access)
  }
  emitStart(asm, mode, payload)
  asm.bits(mode === '64-bit' ? 64 : mode === 'real' || mode === '16-bit protected' ? 16 : 32).bind(payload)
  const top = asm.here('again')
  const count = rng.between(1, 60)
  const onlyDevices = rng.chance(1, 3)
  let room = ACCESSES
  for (let i = 0; i < count && room > 0; i++) {
    if (onlyDevices || (machine.devices.length > 0 && rng.chance())) {
      const { ecam } = machine.board
      const accesses = drawAccesses(rng, machine)
      for (const access of accesses) emitAccess(asm, access, rng.chance(1, 4) ? ecam : undefined)
      room -= accesses.length
    } else emitMisuse(asm, rng, mode)
  }
  if (rng.chance(3, 4)) asm.jmp(top)
  asm.org(TABLES, 0xf4)
  emitTables(asm, rng, mode)
  asm.org(ROM + 0xfff0, 0xf4)
  asm.bits(16).jmp(x86.far16(0xf000, 0))
  asm.org(ROM + ROM_BYTES, 0xff)
  const program = asm.assemble()
  // Without the tables, which are long and random.
  const listing = (): string => program.listing().split(`0${TABLES.toString(16)}`)[0] ?? ''
  return { image: program.bytes, mode, listing }
}

/** From reset to the mode, with the tables in RAM. */
function emitStart(asm: x86.Assembler, mode: Mode, payload: ReturnType<x86.Assembler['label']>): void {
  asm.cli().cld().mov(x86.ax, 0).mov(x86.ss, x86.ax).mov(x86.sp, 0x7c00)
  // The tables, 20 KiB at 0x10000.
  asm
    .mov(x86.ax, (TABLES - ROM_BYTES * 0xf + ROM) >> 4)
    .mov(x86.ds, x86.ax)
    .mov(x86.ax, RAM_TABLES >> 4)
    .mov(x86.es, x86.ax)
  asm
    .xor(x86.esi, x86.esi)
    .xor(x86.edi, x86.edi)
    .mov(x86.ecx, TABLES_BYTES / 4)
    .rep()
    .movsd()
  const gdt = asm.label('gdt pointer')
  const idt = asm.label('idt pointer')
  if (mode === 'real') {
    asm.jmp(payload)
    return
  }
  asm.operandSize(32).lidt(x86.fword(idt.bits(0, 16), { segment: x86.cs }))
  const gdtr = x86.fword(gdt.bits(0, 16), { segment: x86.cs })
  const tables = (): void => {
    asm
      .bind(gdt)
      .dw(8 * GDT_ENTRIES - 1)
      .dd(GDT)
    asm.bind(idt).dw(0xfff).dd(IDT)
  }
  if (mode === '16-bit protected') {
    asm.operandSize(32).lgdt(gdtr).mov(x86.eax, x86.cr0).or(x86.al, 1).mov(x86.cr0, x86.eax)
    asm.jmp(x86.far16(CODE_16, payload.bits(0, 16)))
    return tables()
  }
  enterProtectedMode(asm, { gdtr, code: CODE_32, data: DATA, stack: STACK, between: tables })
  if (mode !== '32-bit') {
    const pae = mode !== '32-bit paging'
    asm.mov(x86.eax, x86.imm32(pae ? 0x6b0 : 0x690)).mov(x86.cr4, x86.eax)
    asm.mov(x86.eax, mode === '64-bit' ? TOP : mode === 'PAE' ? MIDDLE : BOTTOM).mov(x86.cr3, x86.eax)
    if (mode === '64-bit')
      asm
        .mov(x86.ecx, x86.imm32(0xc000_0080 | 0))
        .rdmsr()
        .or(x86.eax, 0x901)
        .wrmsr()
    asm
      .mov(x86.eax, x86.cr0)
      .or(x86.eax, x86.imm32(0x8001_0022 | 0))
      .mov(x86.cr0, x86.eax)
  }
  if (mode === '64-bit') asm.jmp(x86.far32(CODE_64, payload))
  else asm.jmp(payload)
}

/** GDT with a TSS, IDT and page tables: good ones, of which some entries are wrecked. */
function emitTables(asm: x86.Assembler, rng: Rng, mode: Mode): void {
  const wrecked = rng.pick([0, 0, 1, 4, 64])
  const words = new Uint32Array(TABLES_BYTES / 4)
  const put = (address: number, lo: number, hi = 0): void => {
    words[(address - RAM_TABLES) >> 2] = lo
    words[((address - RAM_TABLES) >> 2) + 1] = hi
  }
  put(GDT + CODE_32, 0xffff, 0x00cf_9b00)
  put(GDT + DATA, 0xffff, 0x00cf_9300)
  put(GDT + CODE_64, 0xffff, 0x00af_9b00)
  put(GDT + CODE_16, 0xffff, 0x000f_9b0f)
  put(GDT + TSS, ((GDT + 0x200) << 16) | 0x67, 0x0000_8901)
  // Gates to somewhere in the payload, or anywhere.
  for (let vector = 0; vector < 256; vector++) {
    const wide = mode === '64-bit'
    const offset = rng.chance(1, 8) ? rng.u32() : ROM + rng.below(0x400)
    const selector = rng.chance(1, 8) ? rng.below(0x80) : wide ? CODE_64 : CODE_32
    const type = rng.chance(1, 8) ? rng.below(0x10000) : rng.pick([0x8e00, 0x8f00, 0xee00])
    put(IDT + (wide ? 16 : 8) * vector, (selector << 16) | (offset & 0xffff), (offset & 0xffff_0000) | type)
    if (8 * vector + 16 >= 0x1000) break
  }
  // One to one: four directories of 2 MiB pages would not fit, so all of the third level are the same 1 GiB.
  put(TOP, MIDDLE | 7)
  for (let i = 0; i < 4; i++) put(MIDDLE + 8 * i, mode === '64-bit' ? (i << 30) | 0x87 : BOTTOM | 1)
  for (let i = 0; i < 512; i++) {
    if (mode === '32-bit paging') {
      words[((BOTTOM - RAM_TABLES) >> 2) + i] = ((i << 22) | 0x87) >>> 0
      words[((BOTTOM - RAM_TABLES) >> 2) + 512 + i] = (((512 + i) << 22) | 0x87) >>> 0
    } else put(BOTTOM + 8 * i, ((i << 21) | 0x87) >>> 0, i >> 11)
  }
  for (let i = 0; i < wrecked; i++) {
    const at = rng.below(words.length)
    words[at] = rng.chance() ? ((words[at] as number) ^ (1 << rng.below(32))) >>> 0 : value(rng)
  }
  for (const word of words) asm.dd(word)
}

/** One misuse: of a port, a device's memory, a table, a register, or plain nonsense. */
function emitMisuse(asm: x86.Assembler, rng: Rng, mode: Mode): void {
  const wide = mode === '64-bit'
  switch (rng.below(12)) {
    case 0:
    case 1:
      return emitPort(asm, rng)
    case 2: {
      // Strings to and from ports, and between devices.
      asm
        .mov(x86.edi, value(rng))
        .mov(x86.esi, value(rng))
        .mov(x86.ecx, rng.pick([0, 1, 3, 64, 0xffff, 0xffff_ffff]))
      asm.mov(x86.dx, rng.pick(PORTS))
      if (rng.chance(1, 4)) asm.std()
      asm.db(0xf3, rng.pick([0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xa6, 0xae]))
      return
    }
    case 3:
    case 4: {
      const address = (rng.pick(ADDRESSES) + (rng.chance(1, 4) ? rng.below(16) : 0)) >>> 0
      asm.mov(x86.ebx, address).mov(x86.eax, value(rng))
      if (rng.chance()) asm.mov(x86.dword(x86.ebx), x86.eax)
      else asm.db(...(rng.chance() ? [0x87, 0x03] : [0x8b, 0x03]))
      return
    }
    case 5:
      asm
        .mov(x86.ecx, rng.pick(MSRS) | 0)
        .mov(x86.eax, value(rng) | 0)
        .mov(x86.edx, rng.chance() ? 0 : value(rng) | 0)
      if (rng.chance()) asm.wrmsr()
      else asm.rdmsr()
      return
    case 6:
      asm.mov(x86.eax, rng.chance() ? 1 << rng.below(32) : value(rng) | 0)
      // MOV to CR0, CR2, CR3, CR4, CR8, DR0-7.
      asm.db(0x0f, rng.pick([0x22, 0x23]), 0xc0 | (rng.below(8) << 3))
      return
    case 7:
      // LGDT, LIDT, LMSW, INVLPG, LLDT, LTR with what EBX points to.
      asm.mov(x86.ebx, rng.pick([GDT, IDT, RAM_TABLES + 0x18, 0]) + rng.below(64))
      asm.db(0x0f, rng.below(2), (rng.below(8) << 3) | (mode === 'real' || mode === '16-bit protected' ? 7 : 3))
      return
    case 8:
      asm
        // A hypercall's number, a leaf of CPUID, or anything.
        .mov(x86.eax, rng.chance() ? rng.below(64) : value(rng) | 0)
        .mov(x86.ebx, rng.chance() ? rng.below(32) : value(rng) | 0)
        .mov(x86.ecx, rng.chance() ? rng.below(64) : value(rng) | 0)
        .mov(x86.edx, value(rng) | 0)
      // VMCALL, VMMCALL, SYSCALL, SYSENTER, CPUID, INT n, ICEBP, UD2.
      asm.db(
        ...rng.pick([
          [0x0f, 0x01, 0xc1],
          [0x0f, 0x01, 0xd9],
          [0x0f, 0x05],
          [0x0f, 0x34],
          [0x0f, 0xa2],
          [0xcd, rng.below(256)],
          [0xf1],
          [0x0f, 0x0b],
        ]),
      )
      return
    case 9:
      if (rng.chance(1, 4)) asm.sti().hlt()
      else if (rng.chance()) asm.sti()
      else asm.cli()
      return
    case 10: {
      // Code that changes itself, or its tables.
      asm.mov(x86.ebx, RAM_TABLES + 4 * rng.below(TABLES_BYTES / 4)).mov(x86.eax, value(rng) | 0)
      asm.mov(x86.dword(x86.ebx), x86.eax)
      if (wide || rng.chance()) asm.db(0xeb, rng.below(4))
      return
    }
    default:
      asm.db(...rng.bytes(rng.between(1, 16)))
  }
}

/**
 * An access to a device or to memory. In 16-bit modes memory above 64 KiB is out of reach, which is a fault.
 *
 * @param ecam - where configuration space is in memory; undefined: it is reached by ports
 */
function emitAccess(asm: x86.Assembler, access: Access, ecam?: number): void {
  const { bytes, value: written } = access
  const memory = (address: number): void => {
    asm.mov(x86.ebx, address | 0)
    const at = { 1: x86.byte(x86.ebx), 2: x86.word(x86.ebx), 4: x86.dword(x86.ebx) }[bytes]
    const register = { 1: x86.al, 2: x86.ax, 4: x86.eax }[bytes]
    if (written === undefined) asm.mov(register as typeof x86.eax, at as ReturnType<typeof x86.dword>)
    else asm.mov(x86.eax, written | 0).mov(at as ReturnType<typeof x86.dword>, register as typeof x86.eax)
  }
  const port = (address: number): void => {
    const register = { 1: x86.al, 2: x86.ax, 4: x86.eax }[bytes] as typeof x86.eax
    asm.mov(x86.dx, address & 0xffff)
    if (written === undefined) asm.in(register, x86.dx)
    else asm.mov(x86.eax, written | 0).out(x86.dx, register)
  }
  switch (access.space) {
    case 'memory':
      return memory(access.address)
    case 'port':
      return port(access.address)
    case 'configuration':
      if (ecam !== undefined) return memory(ecam + access.address)
      // Mechanism #1: bus, device and function from bit 8 on.
      asm.mov(x86.eax, 0x8000_0000 | ((access.address >>> 12) << 8) | (access.address & 0xfc) | 0)
      asm.mov(x86.dx, 0xcf8).out(x86.dx, x86.eax)
      return port(0xcfc + (access.address & 3))
  }
}

function emitPort(asm: x86.Assembler, rng: Rng): void {
  asm.mov(x86.dx, rng.pick(PORTS)).mov(x86.eax, value(rng) | 0)
  const repeat = rng.below(4)
  for (let i = 0; i <= repeat; i++) {
    if (rng.chance(1, 3)) asm.in(rng.pick([x86.al, x86.ax, x86.eax]) as typeof x86.al, x86.dx)
    else if (rng.chance()) asm.out(x86.dx, x86.al)
    else asm.db(...rng.pick([[0xef], [0x66, 0xef], [0xee]]))
    if (rng.chance(1, 4)) asm.mov(x86.al, rng.below(256))
  }
}
