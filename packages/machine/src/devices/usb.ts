import type { UsbDevice } from '@retrap/usb'
import type { PcPciPlace } from './pci-place.ts'

/** A device that is plugged into a PC's USB controller. */
export type PcUsbDevice =
  | {
      /** A keyboard, a mouse, or a tablet, which a window need not capture the mouse for. They are typed and moved as the machine's own, `pc.keyboard` and `pc.mouse`, once the guest uses them. */
      readonly kind: 'keyboard' | 'mouse' | 'tablet'
    }
  | {
      /** A device of your own. */
      readonly kind: 'device'
      /** The device. */
      readonly device: UsbDevice
    }

/** A PC's USB controller. */
export interface PcUsb extends PcPciPlace {
  /** Sockets, 1 to 15; default 4, or as many as there are devices. */
  readonly ports?: number | undefined
  /** The devices that are plugged in, behind the drives. */
  readonly devices?: readonly PcUsbDevice[] | undefined
}
