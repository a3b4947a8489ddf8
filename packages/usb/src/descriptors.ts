import type { UsbDescription, UsbEndpointOptions, UsbSpeed } from './usb-device.ts'

/** Descriptor types. Source: USB 3.2, table 9-6. */
export const DESCRIPTOR = {
  DEVICE: 1,
  CONFIGURATION: 2,
  STRING: 3,
  INTERFACE: 4,
  ENDPOINT: 5,
  DEVICE_QUALIFIER: 6,
  BOS: 15,
  CAPABILITY: 16,
  COMPANION: 48,
} as const

/** US English. */
const LANGUAGE = 0x0409
const MANUFACTURER = 1
const PRODUCT = 2
const SERIAL = 3
const SELF_POWERED = 0x40
const REMOTE_WAKEUP = 0x20
const ALWAYS = 0x80
const VERSIONS: Readonly<Record<UsbSpeed, number>> = { low: 0x0110, full: 0x0200, high: 0x0200, super: 0x0300 }
/** Endpoint 0's largest packet: bytes, of SuperSpeed an exponent. */
const PACKETS: Readonly<Record<UsbSpeed, number>> = { low: 8, full: 64, high: 64, super: 9 }
const TYPES: Readonly<Record<UsbEndpointOptions['type'], number>> = { bulk: 2, interrupt: 3 }

const word = (value: number): readonly [number, number] => [value & 0xff, value >>> 8]

export function deviceDescriptor(description: UsbDescription): Uint8Array {
  const { vendorId, productId, release = 0x0100, speed = 'full', manufacturer, product, serialNumber } = description
  return Uint8Array.of(
    18,
    DESCRIPTOR.DEVICE,
    ...word(VERSIONS[speed]),
    // Class codes are in the interfaces' descriptors.
    0,
    0,
    0,
    PACKETS[speed],
    ...word(vendorId),
    ...word(productId),
    ...word(release),
    manufacturer === undefined ? 0 : MANUFACTURER,
    product === undefined ? 0 : PRODUCT,
    serialNumber === undefined ? 0 : SERIAL,
    1,
  )
}

/** Returns the qualifier of a high-speed device, which describes its full-speed mode; null for other speeds. */
export function qualifierDescriptor({ speed = 'full' }: UsbDescription): Uint8Array | null {
  if (speed !== 'high') return null
  return Uint8Array.of(10, DESCRIPTOR.DEVICE_QUALIFIER, ...word(0x0200), 0, 0, 0, PACKETS.full, 0, 0)
}

/** Returns the configuration descriptor with all subordinate descriptors. */
export function configurationDescriptor(description: UsbDescription): Uint8Array {
  const { interfaces, speed = 'full' } = description
  const body = interfaces.flatMap((one, number) => [
    ...[9, DESCRIPTOR.INTERFACE, number, 0, one.endpoints.length],
    ...[one.interfaceClass, one.subclass ?? 0, one.protocol ?? 0, 0],
    ...(one.classDescriptors ?? []),
    ...one.endpoints.flatMap((endpoint) => endpointDescriptors(endpoint, speed)),
  ])
  const attributes = ALWAYS | SELF_POWERED | (description.remoteWakeup === true ? REMOTE_WAKEUP : 0)
  return Uint8Array.of(
    9,
    DESCRIPTOR.CONFIGURATION,
    ...word(9 + body.length),
    interfaces.length,
    1,
    0,
    attributes,
    // The device draws no current from the bus.
    0,
    ...body,
  )
}

function endpointDescriptors(endpoint: UsbEndpointOptions, speed: UsbSpeed): readonly number[] {
  const { address, type, maximumPacketBytes, interval = 0 } = endpoint
  const plain = [7, DESCRIPTOR.ENDPOINT, address, TYPES[type], ...word(maximumPacketBytes), interval]
  if (speed !== 'super') return plain
  // One packet a burst, no streams; interrupt endpoints state their bytes per interval.
  const perInterval = type === 'interrupt' ? maximumPacketBytes : 0
  return [...plain, 6, DESCRIPTOR.COMPANION, 0, 0, ...word(perInterval)]
}

/** The device's capabilities: needed at SuperSpeed. */
export function bosDescriptor({ speed = 'full' }: UsbDescription): Uint8Array | null {
  if (speed !== 'super') return null
  const extension = [7, DESCRIPTOR.CAPABILITY, 2, 0, 0, 0, 0]
  // The device works at SuperSpeed only; no latency is claimed for its low-power states.
  const superSpeed = [10, DESCRIPTOR.CAPABILITY, 3, 0, ...word(0x0008), 3, 0, ...word(0)]
  const body = [...extension, ...superSpeed]
  return Uint8Array.of(5, DESCRIPTOR.BOS, ...word(5 + body.length), 2, ...body)
}

/** String `index`; 0 lists the languages. */
export function stringDescriptor(description: UsbDescription, index: number): Uint8Array | null {
  if (index === 0) return Uint8Array.of(4, DESCRIPTOR.STRING, ...word(LANGUAGE))
  const texts = [undefined, description.manufacturer, description.product, description.serialNumber]
  const text = texts[index]
  if (text === undefined) return null
  const units = Array.from({ length: Math.min(text.length, 126) }, (_, i) => word(text.charCodeAt(i))).flat()
  return Uint8Array.of(2 + units.length, DESCRIPTOR.STRING, ...units)
}
