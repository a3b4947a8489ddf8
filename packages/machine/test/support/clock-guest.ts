import { enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, dword, dx, eax, ecx, edi, edx, fword, imm32 } from '@retrap/x86-assembler'
import { DebugExit } from '@retrap/devices'
import { expect } from 'vitest'
import type { Pc, PcOptions } from '../../src/index.ts'
import { endWithTable } from './interrupt-table.ts'

/** A write of 0 ends the guest: `DebugExit` belongs there. */
export const EXIT_PORT = 0x501
const NEXT = 0x8000
const LOG = 0x1_0000
const ENTRY = 64
/** Interrupts that it takes. */
const ENTRIES = 400
const APIC = 0xfee0_0000
const HPET = 0xfed0_0000
const IDT = FIRMWARE_BASE + 0x8000
const IDTR = IDT + 0x800
const HANDLERS = FIRMWARE_BASE + 0x4000
export const PIT_VECTOR = 0x20
export const RTC_VECTOR = 0x28
export const APIC_VECTOR = 0x41
const TSC_DEADLINE = 0x6e0

/** Of the local APIC's timer. */
export type ClockMode = 'periodic' | 'deadline'

/** Arms the TSC deadline 333,333 ticks from now. */
function armDeadline(asm: Assembler): void {
  asm.rdtsc().add(eax, imm32(333_333)).adc(edx, 0).mov(ecx, TSC_DEADLINE).wrmsr()
}

/** Notes a vector, the time-stamp counter, and what every other clock shows. */
function handler(asm: Assembler, vector: number, mode: ClockMode): void {
  const field = (disp: number) => dword(edi, { disp })
  asm.push(eax).push(ecx).push(edx).push(edi).mov(edi, dword(NEXT)).mov(field(0), vector)
  asm.rdtsc().mov(field(4), eax).mov(field(8), edx)
  asm.mov(dx, 0x608).in(eax, dx).mov(field(12), eax)
  asm
    .mov(eax, dword(HPET + 0xf0))
    .mov(field(16), eax)
    .mov(eax, dword(HPET + 0xf4))
    .mov(field(20), eax)
  asm.mov(eax, dword(APIC + 0x390)).mov(field(24), eax)
  asm.xor(eax, eax).mov(al, 0).out(0x43, al).in(al, 0x40).mov(field(28), eax).in(al, 0x40).mov(field(32), eax)
  asm.in(al, 0x61).mov(field(36), eax)
  for (const [i, register] of [12, 0, 2].entries()) {
    asm
      .mov(al, register)
      .out(0x70, al)
      .in(al, 0x71)
      .mov(field(40 + 4 * i), eax)
  }
  asm.add(edi, ENTRY).mov(dword(NEXT), edi)
  if (vector === APIC_VECTOR) {
    if (mode === 'deadline') armDeadline(asm)
    asm.mov(dword(APIC + 0xb0), 0)
  } else {
    asm.mov(al, 0x20)
    if (vector === RTC_VECTOR) asm.out(0xa0, al)
    asm.out(0x20, al)
  }
  asm.pop(edi).pop(edx).pop(ecx).pop(eax).iretd()
}

/** Firmware that has the i8254, the RTC and the local APIC interrupt it, and halts in between. */
export function clockFirmware(mode: ClockMode): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, 0x7000)
  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const byte of bytes) asm.mov(al, byte).out(port, al)
  }
  asm.mov(dword(NEXT), LOG).lidt(fword(IDTR))
  out(0x20, 0x11)
  out(0x21, PIT_VECTOR, 4, 1, 0xfa)
  out(0xa0, 0x11)
  out(0xa1, RTC_VECTOR, 2, 1, 0xfe)
  // 331 ticks are 277 microseconds.
  out(0x43, 0x34)
  out(0x40, 331 & 0xff, 331 >> 8)
  // 4096 Hz.
  out(0x70, 10)
  out(0x71, 0x24)
  out(0x70, 11)
  out(0x71, 0x42)
  asm.mov(dword(HPET + 0x10), 1).mov(dword(APIC + 0xf0), 0x1ff)
  // LINT0 takes the i8259s' interrupts.
  asm.mov(dword(APIC + 0x350), 0x700).mov(dword(APIC + 0x3e0), 0)
  if (mode === 'periodic') {
    asm.mov(dword(APIC + 0x320), 0x2_0000 | APIC_VECTOR).mov(dword(APIC + 0x380), 123_457)
  } else {
    asm.mov(dword(APIC + 0x320), 0x4_0000 | APIC_VECTOR)
    armDeadline(asm)
  }
  asm.sti()
  const wait = asm.here()
  asm
    .hlt()
    .cmp(dword(NEXT), imm32(LOG + ENTRY * ENTRIES))
    .jb(wait)
  asm.cli().mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
  const handlers = new Map([PIT_VECTOR, RTC_VECTOR, APIC_VECTOR].map((vector, i) => [vector, HANDLERS + 0x400 * i]))
  for (const [vector, address] of handlers) {
    asm.org(address)
    handler(asm, vector, mode)
  }
  return endWithTable(asm, IDT, handlers)
}

/** An interrupt: its vector, the TSC since `start`, and what the other clocks showed. */
export type ClockEntry = readonly [vector: number, time: bigint, ...clocks: number[]]

/** What the guest has noted. */
export function clockLog(pc: Pc, start: bigint): ClockEntry[] {
  const bytes = new Uint8Array(ENTRY * ENTRIES)
  pc.domain.guestMemory.read(LOG, bytes)
  const view = new DataView(bytes.buffer)
  return Array.from({ length: ENTRIES }, (_, i) => {
    const at = ENTRY * i
    const words = Array.from({ length: ENTRY / 4 }, (_each, word) => view.getUint32(at + 4 * word, true))
    return [words[0]!, view.getBigUint64(at + 4, true) - start, ...words.slice(3)]
  })
}

/** Options of a machine of {@link CLOCKED}, on deterministic time. */
export const clocked = (given: (typeof CLOCKED)[number]): Omit<PcOptions, 'memoryBytes'> => ({
  ...given,
  firmware: clockFirmware('periodic'),
  clock: 'deterministic',
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

/** Runs a machine to its end. @returns what its guest has noted */
export async function clockRun(pc: Pc): Promise<ClockEntry[]> {
  await pc.run({ timeoutMs: 60_000 })
  const entries = clockLog(pc, 0n)
  for (const entry of entries) expect(entry[0]).not.toBe(0)
  return entries
}

/** Boards on which tests run this guest: the placement of their devices differs. */
export const CLOCKED = [
  { machine: 'pc', devicePlacement: 'inline' },
  { machine: 'pc', devicePlacement: 'deferred' },
  { machine: 'q35', devicePlacement: 'inline', smm: true },
] as const
