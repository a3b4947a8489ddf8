import type { AcpiBoard } from '../acpi/index.ts'
import type { BoardDescription } from '../board/board.ts'
import type { PlacedDevices } from '../kinds/placed-devices.ts'
import { bootOrder } from '../devices/drives.ts'
import { kernelRomPaths } from '../firmware/firmware-configuration.ts'
import type { FirmwareKernel, PcMemoryMap } from '../loaders/index.ts'
import type { OptionRom } from '../firmware/option-roms.ts'
import { type PcOptions, startsDirectly } from './pc-options.ts'
import { SERIAL_PORTS } from '../devices/serial-port.ts'
import { hasRamfb, hasVga } from '../devices/vga.ts'

/** The parts of a machine that its board must know of, beside the options. */
interface BoardParts {
  readonly map: PcMemoryMap
  readonly acpi: AcpiBoard
  readonly epochSeconds: number
  readonly optionRoms: readonly OptionRom[]
  readonly devices: Required<Pick<PlacedDevices, 'bootPaths' | 'floppies'>>
  /** The kernel that firmware is to start. */
  readonly kernel: FirmwareKernel | undefined
}

/** Describes the board that the options ask for. */
export function boardOf(options: PcOptions, parts: BoardParts): BoardDescription {
  const { map, acpi, epochSeconds, optionRoms, devices, kernel } = parts
  const cpus = options.cpus ?? 1
  return {
    machine: options.machine ?? 'pc',
    map,
    cpus,
    epochSeconds,
    followsHost: options.clock !== 'deterministic',
    firmware: !startsDirectly(options),
    configuration: {
      map,
      cpus,
      board: acpi,
      consolePort: SERIAL_PORTS[0]?.iobase ?? 0,
      optionRoms,
      bootOrder: [...kernelRomPaths(optionRoms), ...bootOrder(devices.bootPaths, options.boot?.order)],
      bootMenu: options.boot?.menu ?? false,
      graphics: hasVga(options) || hasRamfb(options),
      ...(kernel !== undefined && { kernel: kernel.keys }),
    },
    serialPorts: acpi.serialPorts.length,
    floppies: devices.floppies,
    xen: options.hypervisor === 'xen',
    smm: options.smm === true,
    ramfb: hasRamfb(options),
    speaker: options.speaker !== undefined,
  }
}
