import {
  al,
  cr2,
  dword,
  eax,
  ecx,
  edi,
  edx,
  esi,
  ptr,
  qword,
  rax,
  rbp,
  rcx,
  rdi,
  rdx,
  rip,
  rsi,
  r8,
  r9,
  r10,
  r11,
  rsp,
} from '@retrap/x86-assembler'
import type { Gp64, Label } from '@retrap/x86-assembler'
import type { Guest } from './guest.ts'
import { MMIO, PORT, SELECTOR } from './memory-map.ts'

const VECTORS = 256
const EXCEPTIONS = 32
/** First vector of the remapped 8259s: clear of the exceptions, though all their lines are masked. */
const PIC_VECTORS = 0x20
const SERIAL_VECTOR = 0x40
const SPURIOUS_VECTOR = 0xff
const SERIAL_LINE = 4

// SDM vol. 3A, "64-Bit Mode IDT", gate of type 14, present.
const INTERRUPT_GATE = 0x8e00

/** SDM vol. 3A, "Exception and Interrupt Reference". */
const EXCEPTION_NAMES: Readonly<Record<number, string>> = {
  0: 'divide error (#DE)',
  1: 'debug (#DB)',
  2: 'non-maskable interrupt',
  3: 'breakpoint (#BP)',
  4: 'overflow (#OF)',
  5: 'bound range exceeded (#BR)',
  6: 'invalid opcode (#UD)',
  7: 'device not available (#NM)',
  8: 'double fault (#DF)',
  10: 'invalid TSS (#TS)',
  11: 'segment not present (#NP)',
  12: 'stack fault (#SS)',
  13: 'general protection (#GP)',
  14: 'page fault (#PF)',
  16: 'x87 error (#MF)',
  17: 'alignment check (#AC)',
  18: 'machine check (#MC)',
  19: 'SIMD error (#XM)',
  21: 'control protection (#CP)',
}
const PAGE_FAULT = 14
const WITH_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21])

// Local APIC registers: SDM vol. 3A, "Local APIC Register Address Map".
const APIC_ID = 0x20
const APIC_TASK_PRIORITY = 0x80
const APIC_END_OF_INTERRUPT = 0xb0
const APIC_SPURIOUS = 0xf0
const APIC_LINT0 = 0x350
const APIC_LINT1 = 0x360
const APIC_SOFTWARE_ENABLE = 0x100
const APIC_MASKED = 1 << 16
const IO_APIC_SELECT = 0x00
const IO_APIC_WINDOW = 0x10
const IO_APIC_REDIRECTION = 0x10

/** Registers that a routine may change, which an interrupt handler must keep. */
const VOLATILE: readonly Gp64[] = [rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11]

/** The interrupt descriptor table, its handlers, and the controllers. */
export function emitInterrupts(guest: Guest): void {
  const { asm } = guest
  const handlers = emitExceptionHandlers(guest)
  const ignored = emitIgnored(guest)
  const serial = emitSerialHandler(guest)

  const table = guest.constant('idt', 16, () => {
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = vector === SERIAL_VECTOR ? serial : (handlers[vector] ?? ignored)
      asm.dw(handler.bits(0, 16), SELECTOR.code64, INTERRUPT_GATE, handler.bits(16, 16)).dd(handler.bits(32, 32), 0)
    }
  })
  const pointer = guest.constant('idt.pointer', 4, () => asm.dw(VECTORS * 16 - 1).dq(table))

  guest.define('interruptsInitialise', [], () => {
    // LIDT takes ten bytes in 64-bit mode.
    asm.lidt(ptr(rip(pointer)))
    emitPicSetup(guest)
    emitApicSetup(guest)
    asm.sti()
  })
}

/** One stub a vector brings the stack to one shape: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
function emitExceptionHandlers(guest: Guest): readonly Label[] {
  const { asm } = guest
  const report = asm.label('exception')
  const stubs: Label[] = []
  for (let vector = 0; vector < EXCEPTIONS; vector++) {
    stubs.push(asm.here(`exception.${vector}`))
    if (!WITH_ERROR_CODE.has(vector)) asm.push(0)
    asm.push(vector).jmp(report)
  }

  const names = Array.from({ length: EXCEPTIONS }, (_, vector) => guest.text(EXCEPTION_NAMES[vector] ?? 'reserved'))
  const nameTable = guest.constant('exception.names', 8, () => asm.dq(...names))

  asm.bind(report).cld().mov(rbp, rsp)
  guest.say('\n\nException ')
  asm.mov(rdi, qword(rbp))
  guest.call('putDecimal')
  guest.say(', ')
  asm
    .mov(rax, qword(rbp))
    .lea(rcx, ptr(rip(nameTable)))
    .mov(rdi, qword(rcx, { index: rax, scale: 8 }))
  guest.call('putText')
  const field = (name: string, emit: () => void): void => {
    guest.say(`\n  ${name.padEnd(12)}`)
    emit()
    asm.mov(esi, 16)
    guest.call('putHex')
  }
  field('RIP', () => asm.mov(rdi, qword(rbp, { disp: 16 })))
  field('error code', () => asm.mov(rdi, qword(rbp, { disp: 8 })))
  field('RFLAGS', () => asm.mov(rdi, qword(rbp, { disp: 32 })))
  field('RSP', () => asm.mov(rdi, qword(rbp, { disp: 40 })))
  const halt = asm.label()
  asm.cmp(qword(rbp), PAGE_FAULT).jne(halt)
  field('CR2', () => asm.mov(rdi, cr2))
  asm.bind(halt)
  guest.say('\nHalted.\n')
  guest.forever(() => asm.cli().hlt())
  return stubs
}

/** Handler for unused vectors: acknowledges and ignores the interrupt. */
function emitIgnored(guest: Guest): Label {
  const { asm } = guest
  const label = asm.here('interrupt.ignored')
  asm
    .push(rax)
    .mov(eax, MMIO.localApic)
    .mov(dword(rax, { disp: APIC_END_OF_INTERRUPT }), 0)
    .pop(rax)
    .iretq()
  return label
}

/** COM1 has received a character, which ends the processor's sleep; the waiting code reads it. */
function emitSerialHandler(guest: Guest): Label {
  const { asm } = guest
  const label = asm.here('interrupt.serial')
  for (const register of VOLATILE) asm.push(register)
  asm.cld()
  guest.call('serialQuiet')
  asm.mov(eax, MMIO.localApic).mov(dword(rax, { disp: APIC_END_OF_INTERRUPT }), 0)
  for (const register of VOLATILE.toReversed()) asm.pop(register)
  asm.iretq()
  return label
}

/** The two 8259s are programmed once, so that no line of theirs can be taken for an exception, and masked. */
function emitPicSetup(guest: Guest): void {
  const { asm } = guest
  const ICW1_INITIALISE_ICW4 = 0x11
  const ICW3_CASCADE_ON_2 = [0x04, 0x02]
  const ICW4_8086 = 0x01
  for (const [index, [command, data]] of [
    [PORT.pic1Command, PORT.pic1Data] as const,
    [PORT.pic2Command, PORT.pic2Data] as const,
  ].entries()) {
    asm.mov(al, ICW1_INITIALISE_ICW4).out(command, al)
    for (const value of [PIC_VECTORS + 8 * index, ICW3_CASCADE_ON_2[index] ?? 0, ICW4_8086, 0xff]) {
      asm.mov(al, value).out(data, al)
    }
  }
}

/** The local APIC takes interrupts from the I/O APIC alone, which sends it COM1's, on the edge, active high. */
function emitApicSetup(guest: Guest): void {
  const { asm } = guest
  const write = (register: number, value: number): void => {
    asm.mov(dword(rdi, { disp: register }), value)
  }
  asm.mov(edi, MMIO.localApic)
  write(APIC_TASK_PRIORITY, 0)
  write(APIC_LINT0, APIC_MASKED)
  write(APIC_LINT1, APIC_MASKED)
  write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | SPURIOUS_VECTOR)

  const redirection = IO_APIC_REDIRECTION + 2 * SERIAL_LINE
  asm.mov(ecx, dword(rdi, { disp: APIC_ID })).mov(edx, MMIO.ioApic)
  asm.mov(dword(rdx, { disp: IO_APIC_SELECT }), redirection + 1)
  // The destination field has the same bits as the APIC ID.
  asm.mov(dword(rdx, { disp: IO_APIC_WINDOW }), ecx)
  asm.mov(dword(rdx, { disp: IO_APIC_SELECT }), redirection)
  asm.mov(dword(rdx, { disp: IO_APIC_WINDOW }), SERIAL_VECTOR)
}
