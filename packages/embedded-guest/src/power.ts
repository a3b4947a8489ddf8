import { ax, dx, eax, edi, esi } from '@retrap/x86-assembler'
import type { Guest } from './guest.ts'
import { PORT } from './memory-map.ts'

const PM1_CONTROL = PORT.powerManagement + 4
/** SLP_EN with a sleep type of 0, which is S5 on the chipsets that QEMU and retrap have. */
const SLEEP_S5 = 1 << 13

/**
 * Chipsets whose power-management block firmware has to place, with the PCI configuration writes that do it:
 * vendor and device, then device and function on bus 0, register, value.
 */
const CHIPSETS = [
  // PIIX4: PMBA, then PMREGMISC's enable bit.
  {
    id: 0x7113_8086,
    device: 1,
    function: 3,
    writes: [
      [0x40, PORT.powerManagement | 1],
      [0x80, 1],
    ],
  },
  // ICH9: PMBASE, then ACPI_CNTL's enable bit.
  {
    id: 0x2918_8086,
    device: 31,
    function: 0,
    writes: [
      [0x40, PORT.powerManagement | 1],
      [0x44, 0x80],
    ],
  },
] as const

/** Finding the power-management block, and using it. */
export function emitPower(guest: Guest): void {
  const { asm } = guest

  guest.define('powerInitialise', [], () => {
    for (const chipset of CHIPSETS) {
      const other = asm.label()
      const address = (register: number): number => (chipset.device << 11) | (chipset.function << 8) | register
      asm.mov(edi, address(0))
      guest.call('pciRead')
      asm.cmp(eax, chipset.id).jne(other)
      for (const [register, value] of chipset.writes) {
        asm.mov(edi, address(register)).mov(esi, value)
        guest.call('pciWrite')
      }
      asm.bind(other)
    }
  })

  // Does not return. Where the block is somewhere else, the processor stops and the machine stays.
  guest.define('powerOff', [], () => {
    guest.say('Power off.\n')
    guest.call('serialFlush')
    asm.mov(dx, PM1_CONTROL).mov(ax, SLEEP_S5).out(dx, ax)
    guest.forever(() => asm.cli().hlt())
  })
}
