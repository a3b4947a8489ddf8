import type { DeviceContext, InputBackend } from '@retrap/device'

/** Signalling speed of a device, which decides the kind of port. */
export type UsbSpeed = 'low' | 'full' | 'high' | 'super'

export interface UsbEndpointOptions {
  /** Number 1 to 15; bit 7 is set for IN, to the host. */
  readonly address: number
  /** Transfer type of the endpoint. */
  readonly type: 'bulk' | 'interrupt'
  /** Largest packet in bytes. */
  readonly maximumPacketBytes: number
  /** The descriptor's bInterval: milliseconds up to full speed, above it the exponent (1–16) of 125 µs; default 0. */
  readonly interval?: number
}

/** One interface of a device. */
export interface UsbInterfaceOptions {
  /** Class code, such as 3 (HID) or 8 (mass storage). */
  readonly interfaceClass: number
  /** Subclass code; default 0. */
  readonly subclass?: number
  /** Protocol code; default 0. */
  readonly protocol?: number
  /** Class-specific descriptors, between the interface's descriptor and its endpoints'. */
  readonly classDescriptors?: Uint8Array
  /** Endpoints beside endpoint 0. */
  readonly endpoints: readonly UsbEndpointOptions[]
}

/**
 * A device's USB description, from which its descriptors are built. Source: USB 3.2, §9.6, "Standard USB Descriptor Definitions".
 */
export interface UsbDescription {
  /** Vendor ID. */
  readonly vendorId: number
  /** Product ID. */
  readonly productId: number
  /** The device's release, in binary-coded decimal; default 0x0100. */
  readonly release?: number
  /** Manufacturer's name. */
  readonly manufacturer?: string
  /** Product's name. */
  readonly product?: string
  /** Serial number. */
  readonly serialNumber?: string
  /** Speed; default `full`. */
  readonly speed?: UsbSpeed
  /** Whether the device can end a suspend of its port. Default false. */
  readonly remoteWakeup?: boolean
  /** Interfaces of the single configuration, numbered from 0. */
  readonly interfaces: readonly UsbInterfaceOptions[]
}

/** The eight bytes that a control transfer begins with. Source: USB 2.0, §9.3, "USB Device Requests". */
export interface UsbSetup {
  /** bmRequestType: bit 7 is set where data goes to the host. */
  readonly type: number
  /** bRequest. */
  readonly request: number
  /** wValue. */
  readonly value: number
  /** wIndex. */
  readonly index: number
  /** wLength. */
  readonly length: number
}

/** `nak`: not now; the host asks again after {@link UsbPort.wake}. `stall`: the endpoint halts, or the request is refused. */
export type UsbRefusal = 'nak' | 'stall'

/** The machine around a USB device: its clock and timers, and the host. */
export interface UsbPort extends Pick<DeviceContext, 'clock' | 'timer'> {
  /** Called when an endpoint can continue after `nak`. Ends a suspend if the guest permits it. */
  wake(address: number): void
}

/**
 * A USB device, as a controller uses it.
 *
 * The controller handles standard requests by the device's description. Handlers return at once: a slow operation returns
 * `nak`, and calls `wake` when it has a result. A device may be plugged into one port at a time.
 */
export interface UsbDevice {
  /** Names the device in errors and snapshots; unique on its controller. */
  readonly name: string
  /** The device's USB description. */
  readonly description: UsbDescription
  /** Plugs the device in. Called once, before anything else. */
  attach?(port: UsbPort): void
  /** The device was pulled out, or its controller has left the machine: as in a `DeviceModel`, it takes its listeners back. */
  removed?(): void
  /**
   * Handles requests of the device's class or vendor, and requests for class descriptors.
   *
   * @param data - bytes that the host has sent
   * @returns data for the host; empty for requests that send data to the device
   */
  control?(setup: UsbSetup, data: Uint8Array): Uint8Array | UsbRefusal
  /** Answers an IN transfer. @returns at most `length` bytes; fewer end the transfer short */
  in?(address: number, length: number): Uint8Array | UsbRefusal
  /** Takes an OUT transfer. */
  out?(address: number, data: Uint8Array): 'ack' | UsbRefusal
  /** The host has chosen configuration 1, or none (0). */
  configured?(configuration: number): void
  /** The host has cleared an endpoint's halt. */
  resumedEndpoint?(address: number): void
  /** The host has reset its port, or the machine is reset: it is as after power-on. */
  reset?(): void
  /** As in a `DeviceModel`. */
  quiesce?(): void | Promise<void>
  /** As in a `DeviceModel`. */
  resume?(): void
  /** Like a `DeviceModel`'s; state of standard requests is saved by the controller. */
  save?(): unknown
  /** As in a `DeviceModel`. */
  restore?(state: unknown): void
}

/** Options of keyboards, mice and tablets. */
export interface HidOptions {
  /** The source of the device's events. */
  readonly input: InputBackend
  /** Name of the device; default: its kind. */
  readonly name?: string
  /** Serial number that the guest can read. */
  readonly serialNumber?: string
}
