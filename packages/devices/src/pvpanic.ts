import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { checkDeviceNumber } from './pci-device-number.ts'

/** Bits of the register: the guest has panicked; a crash kernel takes over. */
const PANICKED = 1
const CRASH_LOADED = 2
const BAR_BYTES = 16

/** Options of {@link PvPanic}. */
export interface PvPanicOptions {
  /** Port of the register, which is 0x505 on QEMU's ISA bus; default none. */
  readonly ioport?: number
  /** PCI device number on bus 0 of a function (1B36:0011) with the register, which Linux has a driver for; default none. */
  readonly device?: number
  /** The guest has panicked, or a kernel that saves its memory takes over (`crashLoaded`). */
  readonly onPanic: (crashLoaded: boolean, context: DeviceContext) => void
}

/**
 * QEMU's `pvpanic`: one register of a byte by which a guest's kernel says that it has panicked. It reads as the events that
 * the device knows.
 *
 * Source: QEMU, docs/specs/pvpanic.rst, "PVPANIC device".
 */
export class PvPanic implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'pvpanic'
  /** The model's behaviour follows from the guest alone. */
  readonly deterministic = true
  /** The device has no state to save. */
  readonly stateless = true
  readonly #options: PvPanicOptions

  constructor(options: PvPanicOptions) {
    const { ioport = 0, device } = options
    if (device !== undefined) checkDeviceNumber('pvpanic', device)
    if (!Number.isInteger(ioport) || ioport < 0 || ioport > 0xffff)
      throw new DeviceError('ERR_OPTION', `pvpanic: ioport ${ioport}: expected an integer from 0 to 0xffff`)
    this.#options = options
  }

  /** Claims the port, and adds the PCI function. */
  attach(context: DeviceContext): void {
    const { ioport, device, onPanic } = this.#options
    const register: SynchronousRangeHandler = {
      read: (): number => PANICKED | CRASH_LOADED,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        if ((value & PANICKED) !== 0) onPanic(false, context)
        else if ((value & CRASH_LOADED) !== 0) onPanic(true, context)
      },
    }
    if (ioport !== undefined) context.mapPorts(ioport, 1, register, { maximumAccess: 1 })
    if (device !== undefined)
      context.pci.add({
        device,
        vendorId: 0x1b36,
        deviceId: 0x0011,
        revisionId: 1,
        classCode: 0x08_8000,
        subsystemVendorId: 0x1af4,
        subsystemId: 0x1100,
        bars: [{ index: 0, kind: 'memory', bytes: BAR_BYTES, handler: register, maximumAccess: 1 }],
      })
  }
}
