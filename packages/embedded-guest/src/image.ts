import { emitClocks, emitCmos } from './clocks.ts'
import { emitFormat } from './format.ts'
import { Guest } from './guest.ts'
import { emitInterrupts } from './interrupts.ts'
import { emitLongMode } from './long-mode.ts'
import { emitMemory } from './memory.ts'
import { emitPci } from './pci.ts'
import { emitPower } from './power.ts'
import { emitProcessor } from './processor.ts'
import { emitSerial } from './serial.ts'
import { emitShell } from './shell.ts'
import {
  type Label,
  al,
  ax,
  cr0,
  cs,
  ds,
  eax,
  es,
  esp,
  far16,
  far32,
  fs,
  fword,
  gs,
  imm32,
  ss,
} from '@retrap/x86-assembler'
import { SELECTOR, PORT, RESET_VECTOR, ROM, STACK_TOP } from './memory-map.ts'
import { CR0_PE } from '@retrap/x86-cpu'

const BANNER = '\nretrap: a 64-bit guest, from the reset vector\n\n'

/**
 * Assembles the embedded guest: a 64 KiB firmware image, to be mapped so that it ends at 4 GiB and, a second time, at
 * 1 MiB.
 *
 * From reset in real mode it goes to 64-bit mode, prints its findings on COM1 (115200 baud, 8N1), and offers a prompt
 * on it. The command `off`, and Ctrl-D (0x04) on an empty line, power the machine off through ACPI's PM1 control
 * register. It uses RAM below 512 KiB only.
 */
export function buildGuestImage(): Uint8Array {
  const guest = new Guest()
  const { asm } = guest
  const { pointer } = emitDescriptors(guest)
  const protectedMode = asm.label('protected.main')
  const main = asm.label('main')
  emitReset(guest, pointer, protectedMode)
  emitLongMode(guest, protectedMode, main)

  asm.bind(main)
  for (const step of ['serialInitialise', 'interruptsInitialise', 'powerInitialise']) guest.call(step)
  guest.say(BANNER)
  for (const report of [
    'reportProcessor',
    'reportMemory',
    'reportPci',
    'reportDevices',
    'reportDate',
    'reportClocks',
  ]) {
    guest.call(report)
  }
  guest.say('\nType help for the commands.\n')
  guest.call('shell')

  emitSerial(guest)
  emitFormat(guest)
  emitInterrupts(guest)
  emitPower(guest)
  emitCmos(guest)
  emitProcessor(guest)
  emitMemory(guest)
  emitPci(guest)
  emitClocks(guest)
  emitShell(guest)
  return guest.image()
}

// SDM vol. 3A, "Segment Descriptors": bits of the upper doubleword. The accessed bits are set in advance, because the
// table is in ROM, where the processor could not set them.
const PRESENT = 1 << 15
const CODE_OR_DATA = 1 << 12
const EXECUTABLE = 1 << 11
const WRITABLE_OR_READABLE = 1 << 9
const ACCESSED = 1 << 8
const GRANULARITY = 1 << 23
const DEFAULT_32 = 1 << 22
const LONG = 1 << 21

/** A flat segment: base 0, limit 4 GiB. */
function flat(kind: number): [low: number, high: number] {
  const LIMIT_HIGH = 0xf << 16
  const common = PRESENT | CODE_OR_DATA | WRITABLE_OR_READABLE | ACCESSED | GRANULARITY | LIMIT_HIGH
  return [0xffff, common | kind]
}

/** The global descriptor table, and the operand of LGDT. */
export function emitDescriptors(guest: Guest): { pointer: Label } {
  const entries = {
    [SELECTOR.code32]: flat(EXECUTABLE | DEFAULT_32),
    [SELECTOR.data]: flat(DEFAULT_32),
    [SELECTOR.code64]: flat(EXECUTABLE | LONG),
  }
  const table = guest.constant('gdt', 8, (asm) => {
    asm.dq(0)
    // Numeric keys come in ascending order.
    for (const [low, high] of Object.values(entries)) asm.dd(low, high)
  })
  const bytes = 8 * (1 + Object.keys(entries).length)
  const pointer = guest.constant('gdt.pointer', 4, (asm) => asm.dw(bytes - 1).dd(table))
  return { pointer }
}

const FAST_A20 = 0b10
const FAST_RESET = 0b01

/**
 * Emits the code from the reset vector to 32-bit protected mode.
 *
 * @param gdtPointer - operand of LGDT
 * @param next - following 32-bit code
 */
export function emitReset(guest: Guest, gdtPointer: Label, next: Label): void {
  const { asm } = guest

  // After reset CS has the selector F000 and the base FFFF0000. The far jump loads the base that belongs to the
  // selector, so that from here on the copy of the image below 1 MiB runs.
  const start = asm.label('start')
  asm.section('reset', { address: RESET_VECTOR }).bits(16)
  asm.jmp(far16(ROM.segment, start.bits(0, 16)))
  asm.org(ROM.base + ROM.bytes, 0xff)
  asm.section('text')

  asm.bind(start).cli().cld()
  // Enable address line A20: without it, odd megabytes alias even ones.
  asm
    .in(al, PORT.systemControlA)
    .or(al, FAST_A20)
    .and(al, ~FAST_RESET & 0xff)
    .out(PORT.systemControlA, al)

  // Offsets in this segment are the low 16 bits of the labels. With a 16-bit operand size LGDT would load 24 bits of base.
  asm.operandSize(32).lgdt(fword(gdtPointer.bits(0, 16), { segment: cs }))
  asm.mov(eax, cr0).or(al, CR0_PE).mov(cr0, eax)

  const entry = asm.label('protected')
  asm.jmp(far32(SELECTOR.code32, entry))

  asm.bits(32).bind(entry).mov(ax, SELECTOR.data)
  for (const segment of [ds, es, fs, gs, ss]) asm.mov(segment, ax)
  asm.mov(esp, imm32(STACK_TOP)).jmp(next)
}
