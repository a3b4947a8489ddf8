import { type InputBackend, type InputClient, type InputEvent, Instant, Stateful, type Timer } from '@retrap/device'
import type { HidOptions, UsbDescription, UsbDevice, UsbPort, UsbRefusal, UsbSetup } from '../usb-device.ts'

/** The endpoint that reports go by. */
const REPORTS = 0x81
/** Largest report. */
export const REPORT_BYTES = 8
const HID_CLASS = 3
const HID_DESCRIPTOR = 0x21
const REPORT_DESCRIPTOR = 0x22
const GET_DESCRIPTOR = 6
const REPORT_PROTOCOL = 1
const IDLE_UNIT_NS = 4_000_000
const INPUT_REPORT = 1
const OUTPUT_REPORT = 2
const NOTHING = new Uint8Array(0)

/** Requests of the class, with bit 7 where data goes to the host. Source: HID 1.11, §7.2. */
const REQUEST = {
  GET_REPORT: 0x81,
  GET_IDLE: 0x82,
  GET_PROTOCOL: 0x83,
  SET_REPORT: 0x09,
  SET_IDLE: 0x0a,
  SET_PROTOCOL: 0x0b,
} as const

/** The descriptors of a human interface device. */
export interface HidOptionsOfFunction {
  /** The report descriptor. */
  readonly reports: Uint8Array
  /** The boot protocol of a keyboard (1) or a mouse (2); 0: the interface has none. */
  readonly boot: 0 | 1 | 2
  /** The positions that a pointer's events have. */
  readonly pointer?: 'absolute' | 'relative'
  /** The present state as a report, which consumes no events. */
  current(): Uint8Array
  /** Takes the next report. @returns null if nothing has changed */
  take(): Uint8Array | null
  /** The host sets lamps and the like. */
  output?(data: Uint8Array): void
}

/** The description of a human interface device whose reports have up to eight bytes. */
function hidDescription(
  product: string,
  serialNumber: string | undefined,
  { reports, boot }: Pick<HidOptionsOfFunction, 'reports' | 'boot'>,
  intervalMs: number,
): UsbDescription {
  const endpoint = {
    address: REPORTS,
    type: 'interrupt',
    maximumPacketBytes: REPORT_BYTES,
    interval: intervalMs,
  } as const
  return {
    // The identity by which systems know the keyboards and pointers of virtual machines
    vendorId: 0x0627,
    productId: 0x0001,
    manufacturer: 'retrap',
    product,
    ...(serialNumber !== undefined && { serialNumber }),
    remoteWakeup: true,
    interfaces: [
      {
        interfaceClass: HID_CLASS,
        subclass: boot === 0 ? 0 : 1,
        protocol: boot,
        classDescriptors: hidDescriptor(reports),
        endpoints: [endpoint],
      },
    ],
  }
}

function hidDescriptor({ length }: Uint8Array): Uint8Array {
  return Uint8Array.of(9, HID_DESCRIPTOR, 0x11, 0x01, 0, 1, REPORT_DESCRIPTOR, length & 0xff, length >>> 8)
}

/**
 * The behaviour that all human interface devices share: requests of their class, idle rates, reports.
 *
 * Source: USB Device Class Definition for Human Interface Devices 1.11.
 */
export class HidFunction extends Stateful {
  readonly #options: HidOptionsOfFunction
  #port: UsbPort | null = null
  #timer: Timer | null = null
  readonly #sent = new Instant()
  /** The report that was sent last, at `sent`. */
  #last: Uint8Array = NOTHING
  readonly #r = this.keeps({
    protocol: REPORT_PROTOCOL,
    /** Idle rate in units of 4 ms; 0: reports only after changes. */
    idle: 0,
    last: {
      save: (): number[] => [...this.#last],
      restore: (bytes: readonly number[]): void => void (this.#last = Uint8Array.from(bytes)),
      reset: (): void => void (this.#last = NOTHING),
    },
    sent: this.#sent,
  })

  constructor(options: HidOptionsOfFunction) {
    super()
    this.#options = options
  }

  /** Whether the host wants the reports of the boot protocol. */
  get isBoot(): boolean {
    return this.#r.protocol !== REPORT_PROTOCOL
  }

  attach(port: UsbPort): void {
    this.#port = port
    this.#timer = port.timer(() => this.changed())
  }

  /** Notifies the endpoint of a possible report. */
  changed(): void {
    this.#port?.wake(REPORTS)
  }

  in(length: number): Uint8Array | UsbRefusal {
    const report = this.#options.take() ?? this.#repeated()
    if (report === null) return 'nak'
    this.#last = report
    this.#port?.clock.read(this.#sent)
    return report.subarray(0, length)
  }

  /** Returns the last report if the idle rate makes it due again, or null. */
  #repeated(): Uint8Array | null {
    if (this.#r.idle === 0 || this.#port === null) return null
    const now = new Instant()
    this.#port.clock.read(now)
    const next = new Instant().set(this.#sent).add(this.#r.idle * IDLE_UNIT_NS)
    if (!now.isBefore(next)) return this.#last.length === 0 ? this.#options.current() : this.#last
    this.#timer?.armAfter(0, next)
    return null
  }

  control({ type, request, value }: UsbSetup, data: Uint8Array): Uint8Array | UsbRefusal {
    if (type === 0x81 && request === GET_DESCRIPTOR) return this.#descriptor(value >>> 8)
    if ((type & 0x7f) !== 0x21) return 'stall'
    switch (request | (type & 0x80)) {
      case REQUEST.GET_REPORT:
        return value >>> 8 === INPUT_REPORT ? this.#options.current() : 'stall'
      case REQUEST.GET_IDLE:
        return Uint8Array.of(this.#r.idle)
      case REQUEST.GET_PROTOCOL:
        return this.#options.boot === 0 ? 'stall' : Uint8Array.of(this.#r.protocol)
      case REQUEST.SET_REPORT:
        if (value >>> 8 !== OUTPUT_REPORT || this.#options.output === undefined) return 'stall'
        this.#options.output(data)
        return NOTHING
      case REQUEST.SET_IDLE:
        this.#r.idle = value >>> 8
        this.changed()
        return NOTHING
      case REQUEST.SET_PROTOCOL:
        if (this.#options.boot === 0 || value > 1) return 'stall'
        this.#r.protocol = value
        return NOTHING
      default:
        return 'stall'
    }
  }

  #descriptor(type: number): Uint8Array | UsbRefusal {
    if (type === REPORT_DESCRIPTOR) return this.#options.reports
    return type === HID_DESCRIPTOR ? hidDescriptor(this.#options.reports) : 'stall'
  }

  override reset(): void {
    this.#timer?.cancel()
    super.reset()
    this.#sent.set({ lo: 0, hi: 0 })
  }
}

/** A human interface device between its back end and its port. */
export abstract class HidDevice extends Stateful implements UsbDevice, InputClient {
  readonly name: string
  readonly description: UsbDescription
  protected readonly backend: InputBackend
  protected readonly hid: HidFunction
  protected isConfigured = false
  readonly #pointer: HidOptionsOfFunction['pointer']

  constructor(
    product: string,
    { name, input, serialNumber }: HidOptions & { readonly name: string },
    intervalMs: number,
    options: HidOptionsOfFunction,
  ) {
    super()
    this.name = name
    this.backend = input
    this.description = hidDescription(product, serialNumber, options, intervalMs)
    this.hid = new HidFunction(options)
    this.#pointer = options.pointer
  }

  attach(port: UsbPort): void {
    this.hid.attach(port)
    this.backend.connect(this)
  }

  abstract input(events: readonly InputEvent[]): number

  control(setup: UsbSetup, data: Uint8Array): Uint8Array | UsbRefusal {
    return this.hid.control(setup, data)
  }

  in(_address: number, length: number): Uint8Array | UsbRefusal {
    return this.hid.in(length)
  }

  /** Events go to the device while it is configured. */
  configured(configuration: number): void {
    this.isConfigured = configuration !== 0
    this.backend.setActive?.(this.isConfigured)
    if (this.#pointer !== undefined) this.backend.setPointer?.(this.isConfigured ? this.#pointer : 'none')
    if (this.isConfigured) this.backend.ready()
  }
}
