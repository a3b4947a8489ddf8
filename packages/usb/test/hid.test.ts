import type { InputBackend, InputClient, InputEvent } from '@retrap/device'
import { AttachedDevice } from '../src/attached-device.ts'
import { describe, expect, test } from 'vitest'
import { UsbKeyboard, UsbPointer, type UsbSetup } from '../src/index.ts'
import { DATA, IOC, trbType, XhciDriver } from './support/xhci-driver.ts'

const REPORTS = 3

/** Input that the test makes. */
class TestInput implements InputBackend {
  client!: InputClient
  readonly told: unknown[] = []

  connect(client: InputClient): void {
    this.client = client
  }

  ready(): void {
    this.told.push('ready')
  }

  setActive(active: boolean): void {
    this.told.push({ active })
  }

  setPointer(kind: string): void {
    this.told.push({ kind })
  }

  setLeds(leds: object): void {
    this.told.push(leds)
  }
}

const key = (usage: number, down: boolean): InputEvent => ({ kind: 'key', usage, down })

/** A guest that uses the device. */
class HidGuest {
  readonly input = new TestInput()
  readonly driver: XhciDriver
  readonly slot: number

  constructor(make: (input: InputBackend) => UsbKeyboard | UsbPointer) {
    this.driver = new XhciDriver([make(this.input)])
    this.driver.start()
    this.driver.events()
    this.slot = this.driver.address(5, 1)
    this.driver.configure(this.slot)
    this.driver.addEndpoint(this.slot, REPORTS, 7, 3)
  }

  request(request: number, value: number, length = 0, out?: Uint8Array): Uint8Array {
    const type = request >= 0x80 ? 0xa1 : 0x21
    const setup: UsbSetup = { type, request: request & 0x7f, value, index: 0, length }
    return this.driver.control(this.slot, setup, out).data
  }

  /** Asks for reports until there is none. */
  reports(): number[][] {
    const found: number[][] = []
    for (;;) {
      this.driver.put(32 * this.slot + REPORTS, [DATA, 0, 8, trbType(1) | IOC | 4])
      this.driver.doorbell(this.slot, REPORTS)
      this.driver.machine.advance(1_000_000)
      const [event] = this.driver.events()
      if (event === undefined) break
      found.push([...this.driver.machine.ram.subarray(DATA, DATA + 8 - event.length)])
    }
    // The one that still waits is taken back.
    this.driver.command(0, 0, 0, trbType(15) | (REPORTS << 16) | (this.slot << 24))
    this.driver.events()
    const ring = this.driver.ring(this.slot, REPORTS)
    this.driver.command(ring | 1, 0, 0, trbType(16) | (REPORTS << 16) | (this.slot << 24))
    return found
  }
}

describe('keyboard (HID 1.11, appendix B.1)', () => {
  const guest = (): HidGuest => new HidGuest((input) => new UsbKeyboard({ input }))

  test('keys are reports of eight bytes', () => {
    const { input, reports } = bound(guest())
    expect(input.told.slice(0, 2)).toEqual([{ active: true }, 'ready'])
    const events = [key(0xe1, true), key(4, true), key(5, true), key(4, false), key(5, false), key(0xe1, false)]
    expect(input.client.input(events)).toBe(6)
    expect(reports()).toEqual([
      [2, 0, 0, 0, 0, 0, 0, 0],
      [2, 0, 4, 0, 0, 0, 0, 0],
      [2, 0, 4, 5, 0, 0, 0, 0],
      [2, 0, 5, 0, 0, 0, 0, 0],
      [2, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0],
    ])
  })

  test('more than six keys are a rollover', () => {
    const { input, reports } = bound(guest())
    input.client.input([4, 5, 6, 7, 8, 9, 10].map((usage) => key(usage, true)))
    expect(reports().slice(-2)).toEqual([
      [0, 0, 4, 5, 6, 7, 8, 9],
      [0, 0, 1, 1, 1, 1, 1, 1],
    ])
  })

  test('it takes what fits, and asks for more when there is room', () => {
    const { input, reports } = bound(guest())
    const many = Array.from({ length: 40 }, (_, i) => key(4 + (i >> 1), i % 2 === 0))
    expect(input.client.input(many)).toBe(32)
    input.told.length = 0
    expect(reports()).toHaveLength(32)
    expect(input.told).toContain('ready')
  })

  test('lamps', () => {
    const one = guest()
    one.request(0x09, 0x200, 1, Uint8Array.of(3))
    expect(one.input.told.at(-1)).toEqual({ numLock: true, capsLock: true, scrollLock: false })
  })

  test('with an idle rate the report is repeated', () => {
    const one = guest()
    one.request(0x0a, 8 << 8)
    expect([...one.request(0x82, 0, 1)]).toEqual([8])
    one.input.client.input([key(4, true)])
    const { driver, slot } = one
    let events = 0
    for (let i = 0; i < 10; i++) driver.put(32 * slot + REPORTS, [DATA, 0, 8, trbType(1) | IOC])
    driver.doorbell(slot, REPORTS)
    for (let ms = 0; ms < 100; ms++) {
      driver.machine.advance(1_000_000)
      events += driver.events().length
    }
    // At once, and after 32, 64 and 96 ms
    expect(events).toBe(4)
  })

  test('the state is told when asked for, and the protocol is kept', () => {
    const one = guest()
    one.input.client.input([key(4, true)])
    expect([...one.request(0x81, 0x100, 8)]).toEqual([0, 0, 4, 0, 0, 0, 0, 0])
    expect([...one.request(0x83, 0, 1)]).toEqual([1])
    one.request(0x0b, 0)
    expect([...one.request(0x83, 0, 1)]).toEqual([0])
  })

  test('a report descriptor as long as the HID descriptor says', () => {
    const one = guest()
    const get = (value: number): Uint8Array =>
      one.driver.control(one.slot, { type: 0x81, request: 6, value, index: 0, length: 255 }).data
    const hid = get(0x2100)
    expect(get(0x2200)).toHaveLength(hid[7]! + 256 * hid[8]!)
  })

  test('its endpoint is one for interrupts (USB 2.0, table 9-13)', () => {
    const one = guest()
    const setup = { type: 0x80, request: 6, value: 0x0200, index: 0, length: 255 }
    const { data } = one.driver.control(one.slot, setup)
    // Behind the descriptors of configuration, interface and HID.
    expect([...data.subarray(9 + 9 + 9)].slice(0, 4)).toEqual([7, 5, 0x81, 3])
  })

  test('without a configuration it takes nothing', () => {
    const one = guest()
    one.driver.control(one.slot, { type: 0, request: 9, value: 0, index: 0, length: 0 })
    expect(one.input.client.input([key(4, true)])).toBe(0)
    expect(one.input.told.at(-1)).toEqual({ active: false })
  })
})

describe('mouse and tablet (HID 1.11, appendix B.2)', () => {
  test('movements between two clicks are joined, and cut to what a report holds', () => {
    const { input, reports } = bound(new HidGuest((backend) => new UsbPointer({ kind: 'mouse', input: backend })))
    expect(input.told).toContainEqual({ kind: 'relative' })
    input.client.input([
      { kind: 'relative', dx: 100, dy: -5 },
      { kind: 'relative', dx: 100, dy: 0 },
      { kind: 'button', button: 1, down: true },
      { kind: 'wheel', vertical: 1, horizontal: -1 },
      { kind: 'button', button: 1, down: false },
    ])
    expect(reports()).toEqual([
      [0, 127, 251, 0, 0],
      [0, 73, 0, 0, 0],
      [1, 0, 0, 1, 255],
      [0, 0, 0, 0, 0],
    ])
  })

  test('in the boot protocol a report has three bytes', () => {
    const one = new HidGuest((input) => new UsbPointer({ kind: 'mouse', input }))
    one.request(0x0b, 0)
    one.input.client.input([{ kind: 'relative', dx: 1, dy: 2 }])
    expect(one.reports()).toEqual([[0, 1, 2]])
  })

  test('a tablet tells places', () => {
    const { input, reports } = bound(new HidGuest((backend) => new UsbPointer({ kind: 'tablet', input: backend })))
    expect(input.told).toContainEqual({ kind: 'absolute' })
    input.client.input([
      { kind: 'absolute', x: 0x1234, y: 99_999 },
      { kind: 'absolute', x: 0x2345, y: 7 },
      { kind: 'button', button: 2, down: true },
      { kind: 'relative', dx: 1, dy: 1 },
    ])
    expect(reports()).toEqual([
      [0, 0x45, 0x23, 7, 0, 0, 0],
      [2, 0x45, 0x23, 7, 0, 0, 0],
    ])
  })

  test('the tablet has no boot protocol', () => {
    const one = new HidGuest((input) => new UsbPointer({ kind: 'tablet', input }))
    const { events } = one.driver.control(one.slot, { type: 0x21, request: 0x0b, value: 0, index: 0, length: 0 })
    expect(events).toMatchObject([{ code: 6 }])
  })
})

function bound(guest: HidGuest): { readonly input: TestInput; readonly reports: () => number[][] } {
  return { input: guest.input, reports: () => guest.reports() }
}

test('a device of a restored machine takes input at once', () => {
  const inputs = [new TestInput(), new TestInput()]
  const [one, other] = inputs.map((input) => new AttachedDevice(new UsbPointer({ kind: 'tablet', input })))
  one!.control({ type: 0, request: 9, value: 1, index: 0, length: 0 }, new Uint8Array())
  other!.restore(one!.save())
  expect(inputs[1]!.told).toEqual([{ active: true }, { kind: 'absolute' }, 'ready'])
})
