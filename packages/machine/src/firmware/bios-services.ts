import { KIB, MIB } from '@retrap/basics'
import {
  ah,
  al,
  Assembler,
  ax,
  bh,
  bp,
  bx,
  byte,
  cs,
  cx,
  di,
  ds,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edx,
  es,
  far16,
  sp,
  word,
} from '@retrap/x86-assembler'
import type { E820Entry, GuestMemoryWriter } from '../loaders/index.ts'

/** Segment of the services: the end of the area reserved by firmware. */
const SEGMENT = 0xf000
const BASE = SEGMENT * 16
const OFFSET = 0xe000
const RESET_OFFSET = 0xfff0
/** The first byte behind the services' segment. */
export const BIOS_SEGMENT_END: number = BASE + 0x1_0000
const VECTORS = 256

const SMAP = 0x534d_4150
const E820_ENTRY_BYTES = 20
/** Flags as the caller's INT pushed them, seen from BP after it was pushed. */
const CALLER_FLAGS = 6
const FLAG_CF = 0x01
const FLAG_ZF = 0x40
const UNSUPPORTED = 0x86
const LINE_STATUS = 5
const TRANSMITTER_EMPTY = 0x20
const BDA_SEGMENT = 0x40
const BDA_EQUIPMENT = 0x10
const BDA_MEMORY_KIB = 0x13
const BDA_RESUME = 0x67
const BDA_TICKS = 0x6c
const BDA_MIDNIGHT = 0x70
const TICKS_PER_DAY = 0x18_00b0
const CMOS_INDEX = 0x70
const CMOS_DATA = 0x71
const CMOS_SHUTDOWN = 0x0f
/** Shutdown codes: go on at the far pointer at 40:67, with or without an end of interrupt first. */
const SHUTDOWN_RESUME_EOI = 0x05
const SHUTDOWN_RESUME = 0x0a
const KEYBOARD_DATA = 0x60
const MASTER_PIC = 0x20
const SLAVE_PIC = 0xa0
const PIC_EOI = 0x20
/** Vectors of the master's interrupts and of the slave's. */
const MASTER_VECTORS = 0x08
const SLAVE_VECTORS = 0x70
const USER_TICK = 0x1c

/** The facts about the machine that the services tell. */
export interface BiosServicesOptions {
  readonly e820: readonly E820Entry[]
  /** First port of the UART that teletype output goes to. */
  readonly consolePort: number
  readonly reset: { readonly port: number; readonly value: number }
}

/**
 * Writes interrupt vectors and the few real-mode services that a kernel may
 * ask for although no firmware has run: memory maps, equipment, teletype
 * output on the serial port, ticks. For any other service carry is set and AH
 * is 86h, as a BIOS says that it does not have it. Kernels that go back to real
 * mode for a moment, such as Xen's, look for such services and do without.
 *
 * A processor that starts at the reset vector goes on where the CMOS shutdown
 * code says, else the machine is reset.
 *
 * Source: IBM PC/AT Technical Reference, "System BIOS"; ACPI Specification
 * 6.5, 15.1, "INT 15H, E820H - Query System Address Map".
 */
export function writeBiosServices(memory: GuestMemoryWriter, options: BiosServicesOptions): void {
  const asm = new Assembler({ bits: 16, address: BASE + OFFSET })
  const nothing = asm.here()
  asm.iret()
  const failed = asm.label()
  const entries: Record<number, ReturnType<Assembler['label']>> = {}
  const service = (vector: number, body: () => void): void => {
    entries[vector] = asm.here()
    body()
  }
  const setFlag = (flag: number): void => {
    asm
      .push(bp)
      .mov(bp, sp)
      .or(byte(bp, { disp: CALLER_FLAGS }), flag)
      .pop(bp)
  }
  const clearCarry = (): void => {
    asm
      .push(bp)
      .mov(bp, sp)
      .and(byte(bp, { disp: CALLER_FLAGS }), ~FLAG_CF & 0xff)
      .pop(bp)
  }
  const fromBda = (offset: number): void => {
    asm.push(ds).push(BDA_SEGMENT).pop(ds).mov(ax, word(offset)).pop(ds).iret()
  }
  service(0x10, () => emitTeletype(asm, options.consolePort))
  service(0x11, () => fromBda(BDA_EQUIPMENT))
  service(0x12, () => fromBda(BDA_MEMORY_KIB))
  service(0x15, () => emitMemory(asm, options.e820, failed, clearCarry))
  // The keyboard buffer is always empty.
  service(0x16, () => {
    setFlag(FLAG_ZF)
    asm.xor(ax, ax).iret()
  })
  service(0x1a, () => {
    asm.test(ah, ah).jnz(failed).push(ds).push(BDA_SEGMENT).pop(ds)
    asm
      .mov(dx, word(BDA_TICKS))
      .mov(cx, word(BDA_TICKS + 2))
      .pop(ds)
      .mov(al, 0)
    clearCarry()
    asm.iret()
  })
  emitInterrupts(asm, entries)
  const start = emitStart(asm)
  const reset = asm.here()
  asm.mov(dx, options.reset.port).mov(al, options.reset.value).out(dx, al)
  const halted = asm.here()
  asm.hlt().jmp(halted)
  entries[0x18] = reset
  entries[0x19] = reset
  asm.bind(failed)
  setFlag(FLAG_CF)
  asm.mov(ah, UNSUPPORTED).iret()
  // Disks that do not exist, serial and parallel ports, cassettes.
  for (const vector of [0x13, 0x14, 0x17]) entries[vector] = failed
  asm.org(BASE + RESET_OFFSET).jmpf(far16(SEGMENT, start.plus(-BASE)))
  const program = asm.assemble()
  memory.write(BASE + OFFSET, program.bytes)

  const vectors = new Uint8Array(4 * VECTORS)
  const view = new DataView(vectors.buffer)
  for (let vector = 0; vector < VECTORS; vector++) {
    view.setUint16(4 * vector, Number(program.addressOf(entries[vector] ?? nothing)) - BASE, true)
    view.setUint16(4 * vector + 2, SEGMENT, true)
  }
  memory.write(0, vectors)
}

/** The handlers of hardware interrupts: the timer's counts ticks, the others end their interrupts. */
function emitInterrupts(asm: Assembler, entries: Record<number, ReturnType<Assembler['label']>>): void {
  const endSlave = asm.here()
  asm.push(ax).mov(al, PIC_EOI).out(SLAVE_PIC, al).out(MASTER_PIC, al).pop(ax).iret()
  const endMaster = asm.here()
  asm.push(ax).mov(al, PIC_EOI).out(MASTER_PIC, al).pop(ax).iret()
  for (let line = 0; line < 8; line++) {
    entries[MASTER_VECTORS + line] = endMaster
    entries[SLAVE_VECTORS + line] = endSlave
  }

  const today = asm.label()
  entries[MASTER_VECTORS] = asm.here()
  asm.push(ax).push(ds).push(BDA_SEGMENT).pop(ds).inc(dword(BDA_TICKS))
  asm.cmp(dword(BDA_TICKS), TICKS_PER_DAY).jb(today).mov(dword(BDA_TICKS), 0).mov(byte(BDA_MIDNIGHT), 1)
  asm.bind(today).int(USER_TICK).pop(ds).mov(al, PIC_EOI).out(MASTER_PIC, al).pop(ax).iret()

  entries[MASTER_VECTORS + 1] = asm.here()
  asm.push(ax).in(al, KEYBOARD_DATA).mov(al, PIC_EOI).out(MASTER_PIC, al).pop(ax).iret()
}

/**
 * The target of the reset vector: with a shutdown code to go on, the far pointer at 40:67. It falls through otherwise.
 *
 * Source: IBM PC/AT Technical Reference, "Shutdown status byte".
 */
function emitStart(asm: Assembler): ReturnType<Assembler['label']> {
  const resume = asm.label()
  const none = asm.label()
  const start = asm.here()
  asm.cli().mov(al, CMOS_SHUTDOWN).out(CMOS_INDEX, al).in(al, CMOS_DATA).mov(ah, al)
  // Clear the shutdown code: it is for one reset.
  asm.mov(al, CMOS_SHUTDOWN).out(CMOS_INDEX, al).mov(al, 0).out(CMOS_DATA, al)
  asm.cmp(ah, SHUTDOWN_RESUME).je(resume).cmp(ah, SHUTDOWN_RESUME_EOI).jne(none)
  asm.mov(al, PIC_EOI).out(SLAVE_PIC, al).out(MASTER_PIC, al)
  // Nothing is known of the stack.
  asm.bind(resume).mov(ax, BDA_SEGMENT).mov(ds, ax).jmpf(dword(BDA_RESUME))
  asm.bind(none)
  return start
}

/** INT 10h: teletype output, and the mode of a display of 80 columns. */
function emitTeletype(asm: Assembler, port: number): void {
  const mode = asm.label()
  const done = asm.label()
  asm.cmp(ah, 0x0f).je(mode).cmp(ah, 0x0e).jne(done)
  asm
    .push(ax)
    .push(dx)
    .mov(ah, al)
    .mov(dx, port + LINE_STATUS)
  const wait = asm.here()
  asm.in(al, dx).test(al, TRANSMITTER_EMPTY).jz(wait)
  asm.mov(dx, port).mov(al, ah).out(dx, al).pop(dx).pop(ax)
  asm.bind(done).iret()
  asm.bind(mode).mov(ax, 0x5003).mov(bh, 0).iret()
}

/** INT 15h: E820, E801 and 88 tell of memory. */
function emitMemory(
  asm: Assembler,
  e820: readonly E820Entry[],
  failed: ReturnType<Assembler['label']>,
  clearCarry: () => void,
): void {
  const map = asm.label()
  const above = asm.label()
  const extended = asm.label()
  const table = asm.label()
  const last = asm.label()
  const stored = asm.label()
  asm.cmp(ax, 0xe820).je(map).cmp(ax, 0xe801).je(above).cmp(ah, 0x88).je(extended).jmp(failed)

  // EBX is the number of the entry that is asked for, and of the next; zero after the last.
  asm.bind(map).cmp(edx, SMAP).jne(failed).cmp(ecx, E820_ENTRY_BYTES).jb(failed).cmp(ebx, e820.length).jae(failed)
  asm.push(ebx).imul(bx, bx, E820_ENTRY_BYTES)
  for (let at = 0; at < E820_ENTRY_BYTES; at += 4) {
    asm.mov(eax, dword(bx, { disp: table.plus(at - BASE), segment: cs }))
    asm.mov(dword(di, { disp: at, segment: es }), eax)
  }
  asm.pop(ebx).inc(ebx).cmp(ebx, e820.length).jb(last).xor(ebx, ebx).bind(last)
  asm.mov(eax, SMAP).mov(ecx, E820_ENTRY_BYTES).jmp(stored)

  const high = e820.find(({ gpa }) => gpa === MIB)?.bytes ?? 0
  const below16 = Math.min(high, 15 * MIB)
  asm
    .bind(above)
    .mov(ax, below16 / KIB)
    .mov(bx, Math.min(0xffff, (high - below16) / (64 * KIB)))
  asm.mov(cx, ax).mov(dx, bx).jmp(stored)
  asm.bind(extended).mov(ax, Math.min(0xffff, high / KIB))
  asm.bind(stored)
  clearCarry()
  asm.iret()

  asm.bind(table)
  for (const { gpa, bytes, type } of e820) asm.dq(BigInt(gpa), BigInt(bytes)).dd(type)
}
