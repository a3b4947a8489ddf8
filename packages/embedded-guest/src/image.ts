import { emitClocks } from './clocks.ts'
import { emitCmos } from './cmos.ts'
import { emitDescriptors } from './descriptors.ts'
import { emitFormat } from './format.ts'
import { Guest } from './guest.ts'
import { emitInterrupts } from './interrupts.ts'
import { emitLongMode } from './long-mode.ts'
import { emitMemory } from './memory.ts'
import { emitPci } from './pci.ts'
import { emitPower } from './power.ts'
import { emitProcessor } from './processor.ts'
import { emitReset } from './reset.ts'
import { emitSerial } from './serial.ts'
import { emitShell } from './shell.ts'

const BANNER = '\nretrap: a 64-bit guest, from the reset vector\n\n'

/**
 * Assembles the embedded guest: a 64 KiB firmware image, to be mapped so that it ends at 4 GiB and, a second time, at
 * 1 MiB.
 *
 * From reset in real mode it goes to 64-bit mode, prints on COM1 (115200 baud, 8N1) what it finds, and offers a prompt
 * there. The command `off`, and Ctrl-D (0x04) on an empty line, power the machine off through ACPI's PM1 control
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
