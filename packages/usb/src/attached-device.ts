import { DeviceError, Stateful } from '@retrap/device'
import {
  bosDescriptor,
  configurationDescriptor,
  DESCRIPTOR,
  deviceDescriptor,
  qualifierDescriptor,
  stringDescriptor,
} from './descriptors.ts'
import type { UsbDevice, UsbRefusal, UsbSetup, UsbSpeed } from './usb-device.ts'

const REQUEST = {
  GET_STATUS: 0,
  CLEAR_FEATURE: 1,
  SET_FEATURE: 3,
  SET_ADDRESS: 5,
  GET_DESCRIPTOR: 6,
  GET_CONFIGURATION: 8,
  SET_CONFIGURATION: 9,
  GET_INTERFACE: 10,
  SET_INTERFACE: 11,
  SET_SEL: 48,
  SET_ISOCH_DELAY: 49,
} as const

const TO_HOST = 0x80
const KIND = 0x60
const RECIPIENT = 0x1f
const TO_DEVICE = 0
const TO_INTERFACE = 1
const TO_ENDPOINT = 2
const ENDPOINT_HALT = 0
const DEVICE_REMOTE_WAKEUP = 1
/** U1, U2 and latency reports of SuperSpeed: taken, without an effect. */
const LINK_FEATURES = [48, 49, 50]
const SELF_POWERED = 1
const NOTHING = new Uint8Array(0)

/** A device with its standard requests. Source: USB 2.0, §9.4, "Standard Device Requests"; USB 3.2, §9.4. */
export class AttachedDevice extends Stateful {
  readonly device: UsbDevice
  readonly speed: UsbSpeed
  readonly #halted = new Set<number>()
  /** The configuration that the device knows of. */
  #told = 0
  readonly #r = this.keeps(
    {
      name: { save: (): string => this.name, restore: (): void => {} },
      configuration: 0,
      halted: this.#halted,
      remoteWakeup: false,
      own: {
        save: (): unknown => this.device.save?.() ?? null,
        restore: (state: unknown): void => this.device.restore?.(state),
        reset: (): void => this.device.reset?.(),
      },
    },
    {
      device: 'usb',
      // A reset takes the configuration away, and a restored device has that of its state.
      settled: (): void => {
        if (this.#told !== this.#r.configuration) this.#tell()
      },
    },
  )

  /** @throws DeviceError `ERR_OPTION` for a description that makes no device */
  constructor(device: UsbDevice) {
    super()
    this.device = device
    this.speed = device.description.speed ?? 'full'
    const wrong = problemOf(device)
    if (wrong !== null) throw new DeviceError('ERR_OPTION', `${device.name}: ${wrong}`)
  }

  get name(): string {
    return this.device.name
  }

  /** Whether the device may end a suspend. */
  get mayWake(): boolean {
    return this.#r.remoteWakeup
  }

  #tell(): void {
    this.#told = this.#r.configuration
    this.device.configured?.(this.#told)
  }

  in(address: number, length: number): Uint8Array | UsbRefusal {
    if (this.#r.configuration === 0 || this.#halted.has(address)) return 'stall'
    const answer = this.device.in?.(address, length) ?? 'stall'
    if (answer === 'stall') this.#halted.add(address)
    return answer
  }

  out(address: number, data: Uint8Array): 'ack' | UsbRefusal {
    if (this.#r.configuration === 0 || this.#halted.has(address)) return 'stall'
    const answer = this.device.out?.(address, data) ?? 'stall'
    if (answer === 'stall') this.#halted.add(address)
    return answer
  }

  control(setup: UsbSetup, data: Uint8Array): Uint8Array | UsbRefusal {
    if ((setup.type & KIND) === 0) {
      const answer = this.#standard(setup)
      if (answer !== 'other') return answer
    }
    return this.device.control?.(setup, data) ?? 'stall'
  }

  #standard(setup: UsbSetup): Uint8Array | UsbRefusal | 'other' {
    const { request, value, index } = setup
    const recipient = setup.type & RECIPIENT
    if ((setup.type & TO_HOST) === 0 && recipient !== TO_DEVICE) return this.#toPart(setup, recipient)
    switch (request) {
      case REQUEST.GET_STATUS:
        return this.#status(recipient, index)
      case REQUEST.CLEAR_FEATURE:
      case REQUEST.SET_FEATURE:
        return this.#setFeature(value, request === REQUEST.SET_FEATURE)
      case REQUEST.GET_DESCRIPTOR:
        return recipient === TO_DEVICE ? this.#descriptor(value) : 'other'
      case REQUEST.GET_CONFIGURATION:
        return Uint8Array.of(this.#r.configuration)
      case REQUEST.SET_CONFIGURATION:
        return this.#configure(value & 0xff)
      case REQUEST.GET_INTERFACE:
        return this.#hasInterface(index) ? Uint8Array.of(0) : 'stall'
      case REQUEST.SET_ADDRESS:
      case REQUEST.SET_SEL:
      case REQUEST.SET_ISOCH_DELAY:
        // The controller addresses devices by itself; latencies change nothing.
        return NOTHING
      default:
        return 'other'
    }
  }

  /** A request that sends no data back, to an interface or an endpoint. */
  #toPart({ request, value, index }: UsbSetup, recipient: number): Uint8Array | UsbRefusal | 'other' {
    if (recipient === TO_INTERFACE) {
      if (request === REQUEST.SET_INTERFACE) return value === 0 && this.#hasInterface(index) ? NOTHING : 'stall'
      const isFeature = request === REQUEST.SET_FEATURE || request === REQUEST.CLEAR_FEATURE
      // Function suspend
      return isFeature && value === 0 && this.#hasInterface(index) ? NOTHING : 'other'
    }
    if (recipient !== TO_ENDPOINT || value !== ENDPOINT_HALT || !this.#hasEndpoint(index)) return 'stall'
    if (request === REQUEST.SET_FEATURE) this.#halted.add(index)
    else if (request !== REQUEST.CLEAR_FEATURE) return 'stall'
    else {
      this.#halted.delete(index)
      this.device.resumedEndpoint?.(index)
    }
    return NOTHING
  }

  #hasInterface(number: number): boolean {
    return this.#r.configuration !== 0 && number < this.device.description.interfaces.length
  }

  #hasEndpoint(address: number): boolean {
    if ((address & 0x7f) === 0) return true
    return (
      this.#r.configuration !== 0 &&
      this.device.description.interfaces.some(({ endpoints }) => endpoints.some((one) => one.address === address))
    )
  }

  #status(recipient: number, index: number): Uint8Array | UsbRefusal {
    if (recipient === TO_DEVICE) return Uint8Array.of(SELF_POWERED | (this.#r.remoteWakeup ? 2 : 0), 0)
    if (recipient === TO_INTERFACE) return this.#hasInterface(index) ? Uint8Array.of(0, 0) : 'stall'
    return this.#hasEndpoint(index) ? Uint8Array.of(this.#halted.has(index) ? 1 : 0, 0) : 'stall'
  }

  #setFeature(feature: number, on: boolean): Uint8Array | UsbRefusal {
    if (LINK_FEATURES.includes(feature) && this.speed === 'super') return NOTHING
    if (feature !== DEVICE_REMOTE_WAKEUP || this.device.description.remoteWakeup !== true) return 'stall'
    this.#r.remoteWakeup = on
    return NOTHING
  }

  #descriptor(value: number): Uint8Array | UsbRefusal | 'other' {
    const { description } = this.device
    const index = value & 0xff
    switch (value >>> 8) {
      case DESCRIPTOR.DEVICE:
        return deviceDescriptor(description)
      case DESCRIPTOR.CONFIGURATION:
        return index === 0 ? configurationDescriptor(description) : 'stall'
      case DESCRIPTOR.STRING:
        return stringDescriptor(description, index) ?? 'stall'
      case DESCRIPTOR.DEVICE_QUALIFIER:
        return qualifierDescriptor(description) ?? 'stall'
      case DESCRIPTOR.BOS:
        return bosDescriptor(description) ?? 'stall'
      default:
        return 'other'
    }
  }

  #configure(value: number): Uint8Array | UsbRefusal {
    if (value > 1) return 'stall'
    this.#r.configuration = value
    this.#halted.clear()
    this.#tell()
    return NOTHING
  }
}

function problemOf({ name, description }: UsbDevice): string | null {
  const { vendorId, productId, interfaces } = description
  const isWord = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 0xffff
  if (name === '') return 'expected a name'
  if (!isWord(vendorId) || !isWord(productId)) return `vendor ${vendorId}, product ${productId}: expected 0 to 0xffff`
  if (interfaces.length === 0 || interfaces.length > 16) return `${interfaces.length} interfaces: expected 1 to 16`
  const addresses = interfaces.flatMap(({ endpoints }) => endpoints.map(({ address }) => address))
  const wrong = addresses.find((address) => (address & ~0x8f) !== 0 || (address & 0x0f) === 0)
  if (wrong !== undefined) return `endpoint 0x${wrong.toString(16)}: expected 0x01 to 0x0f, or 0x81 to 0x8f`
  const twice = addresses.find((address, i) => addresses.indexOf(address) !== i)
  return twice === undefined ? null : `endpoint 0x${twice.toString(16)}: two interfaces have it`
}
