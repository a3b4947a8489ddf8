import type { AudioBackend } from '@retrap/device'
import type { UsbDevice } from '@retrap/usb'

/** A device that is plugged into a PC's USB controller. */
export type MachineUsbDevice =
  | {
      /** A keyboard, a mouse, or a tablet, which a window need not capture the mouse for. They are typed and moved as the machine's own, `pc.keyboard` and `pc.mouse`, once the guest uses them. */
      readonly kind: 'keyboard' | 'mouse' | 'tablet'
    }
  | {
      /** A device of your own. */
      readonly kind: 'device'
      readonly device: UsbDevice
    }

/** A PC's USB controller. */
export interface MachineUsb extends MachinePciPlace {
  /** Number of sockets, 1 to 15; default 4, or the number of devices if more. */
  readonly ports?: number | undefined
  /** The devices that are plugged in, behind the drives. */
  readonly devices?: readonly MachineUsbDevice[] | undefined
}

/** The USB controllers that options ask for, beside that of drives with `interface: 'usb'`. */
export const usbControllers = (options: {
  readonly usb?: MachineUsb | readonly MachineUsb[] | undefined
}): MachineUsb[] => [options.usb ?? []].flat()

/** A sound device. */
export interface MachineSoundDevice extends MachinePciPlace {
  /** The model: the controller of an ICH with an AC'97 codec. */
  readonly model: 'ac97'
  /** The back end for the guest's sound; default: it is discarded. */
  readonly audio?: AudioBackend | undefined
}

/** A root port of PCI Express; of a `pc`, which has none, a slot of bus 0 whose devices come and go by ACPI. */
export interface MachineRootPort {
  /** Names the port for the device behind it, or in it: a letter, and letters, digits, `_`, `.` and `-`. */
  readonly id: string
  /** PCI device number, 3 to 30, or 31 of a `pc`; default the lowest free one. */
  readonly slot?: number | undefined
  /** Whether devices may be plugged in and out while the machine runs; default true. */
  readonly hotPlug?: boolean | undefined
}

/** How a virtio device lies on the PCI bus. */
export interface MachineVirtioPlace extends MachinePciPlace {
  /** Whether drivers of version 1.0 and later find their interface. Default true. */
  readonly modern?: boolean | undefined
  /** Whether the device supports legacy drivers. Default: as the device type allows. */
  readonly legacy?: boolean | undefined
  /** Whether queues may be packed rings. Default false. */
  readonly packed?: boolean | undefined
  /**
   * Whether the device is at one of an Arm board's transports in memory (virtio-mmio) and not on the PCI bus, or the
   * transport's number, 0 to 31; true: the highest free one, as QEMU's board does. Default false.
   */
  readonly mmio?: boolean | number | undefined
  /** Number of MSI-X vectors, 0 for none; default one more than the number of queues. */
  readonly vectors?: number | undefined
}

/** Where a device lies on the PCI bus. */
export interface MachinePciPlace {
  /** The `id` of a root port (`rootPorts`) that it is behind, in place of a number of its own; default none. */
  readonly port?: string | undefined
  /** PCI device number, 3 to 31 (from 4 on with Xen); default the lowest free one. */
  readonly slot?: number | undefined
}
