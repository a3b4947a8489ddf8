import { describe, expect, test } from 'vitest'
import { Xhci } from '../src/index.ts'
import { TestDevice } from './support/test-device.ts'
import { UsbMachine } from './support/usb-machine.ts'
import { XhciDriver } from './support/xhci-driver.ts'

const CONNECTED = 0x1
const ENABLED = 0x2
const POLLING = 7 << 5
const POWER = 0x200
const CHANGED = 0x2_0000
const RESET_CHANGED = 0x20_0000
const LINK_CHANGED = 0x40_0000

describe('registers (xHCI 1.2, ch. 5, "Register Interface")', () => {
  test.each([
    { register: 'CAPLENGTH and HCIVERSION', at: 0x00, value: 0x0120_0040 },
    { register: 'HCSPARAMS1: 64 slots, 8 interrupters, 8 ports', at: 0x04, value: 0x0800_0840 },
    { register: 'HCSPARAMS2: 16 event ring segments', at: 0x08, value: 0x49 },
    { register: 'HCCPARAMS1: 64-bit addresses, extended capabilities', at: 0x10, value: 0x0200_0081 },
    { register: 'DBOFF', at: 0x14, value: 0x2000 },
    { register: 'RTSOFF', at: 0x18, value: 0x1000 },
    { register: 'USBSTS: halted', at: 0x44, value: 1 },
    { register: 'PAGESIZE', at: 0x48, value: 1 },
    { register: 'legacy support', at: 0x800, value: 0x0401 },
    { register: 'protocol USB 3.0', at: 0x820, value: 0x0300_0002 },
    { register: 'its ports', at: 0x828, value: 0x0401 },
    { register: 'protocol USB 2.0', at: 0x810, value: 0x0200_0402 },
    { register: 'its ports', at: 0x818, value: 0x0405 },
    { register: 'its name', at: 0x814, value: 0x2042_5355 },
  ])('$register: $value', ({ at, value }) => {
    expect(new UsbMachine(new Xhci({ device: 4 })).read(at)).toBe(value)
  })

  test('the semaphores of firmware and system are kept until power-on', () => {
    const driver = new XhciDriver()
    driver.machine.write(0x800, 0xffff_ffff)
    expect(driver.machine.read(0x800)).toBe(0x0101_0401)
    driver.start()
    expect(driver.machine.read(0x800)).toBe(0x0101_0401)
    driver.model.reset()
    expect(driver.machine.read(0x800)).toBe(0x0401)
  })

  test('the frame counter follows virtual time while the controller runs', () => {
    const driver = new XhciDriver()
    driver.machine.advance(1_000_000)
    expect(driver.machine.read(0x1000)).toBe(0)
    driver.start()
    driver.machine.advance(1_000_000)
    expect(driver.machine.read(0x1000)).toBe(8)
    driver.machine.advance(0x4000 * 125_000)
    expect(driver.machine.read(0x1000)).toBe(8)
  })

  test('the wrap of the frame counter is an event where the guest asks for it', () => {
    const driver = new XhciDriver()
    driver.start()
    driver.machine.advance(3_000_000_000)
    expect(driver.events()).toEqual([])
    driver.machine.write(0x40, 0x405)
    driver.machine.advance(2_048_000_000)
    expect(driver.events()).toMatchObject([{ type: 39, code: 1 }])
  })

  test('a restore after a reset is an error, one without is none', () => {
    const driver = new XhciDriver()
    driver.machine.write(0x40, 0x100)
    driver.machine.write(0x40, 0x200)
    expect(driver.status & 0x400).toBe(0)
    driver.model.reset()
    driver.machine.write(0x40, 0x200)
    expect(driver.status & 0x400).toBe(0x400)
  })
})

describe('root hub ports (xHCI 1.2, §4.19, "Root Hub")', () => {
  test('a device of full speed waits for a reset; a reset enables its port', () => {
    const device = new TestDevice()
    const driver = new XhciDriver([device])
    driver.start()
    expect(driver.port(5)).toBe(CONNECTED | POLLING | POWER | CHANGED)
    expect(driver.events()).toMatchObject([{ type: 34, code: 1, pointer: 5 << 24 }])
    const before = device.resets
    driver.writePort(5, POWER | 0x10)
    expect(device.resets).toBe(before + 1)
    // Speed ID 1
    expect(driver.port(5)).toBe(CONNECTED | ENABLED | POWER | (1 << 10) | CHANGED | RESET_CHANGED)
    // One event for all change bits until they are cleared
    expect(driver.events()).toEqual([])
    driver.writePort(5, POWER | CHANGED | RESET_CHANGED)
    expect(driver.port(5)).toBe(CONNECTED | ENABLED | POWER | (1 << 10))
    driver.writePort(5, POWER | ENABLED)
    expect(driver.port(5) & ENABLED).toBe(0)
  })

  test('a SuperSpeed link trains by itself, and is reset cold and warm', () => {
    const driver = new XhciDriver([new TestDevice('test', 'super')])
    driver.start()
    expect(driver.port(1)).toBe(CONNECTED | ENABLED | POWER | (4 << 10) | CHANGED)
    expect(driver.port(5)).toBe(POWER | (5 << 5))
    // A cold reset, which is no warm one.
    driver.writePort(1, POWER | 0x10)
    expect(driver.port(1) & (RESET_CHANGED | 0x8_0000)).toBe(RESET_CHANGED)
    driver.writePort(1, POWER | RESET_CHANGED)
    driver.writePort(1, POWER)
    expect(driver.port(1) & (RESET_CHANGED | 0x8_0000)).toBe(0)
    driver.writePort(1, POWER | 0x8000_0000)
    expect(driver.port(1) & (RESET_CHANGED | 0x8_0000)).toBe(RESET_CHANGED | 0x8_0000)
  })

  test('a port of USB 2 knows no warm reset', () => {
    const device = new TestDevice()
    const driver = new XhciDriver([device])
    driver.start()
    const before = device.resets
    driver.writePort(5, POWER | 0x8000_0000)
    expect([device.resets, driver.port(5) & ENABLED]).toEqual([before, 0])
  })

  test('a device is plugged in and pulled out while the guest runs', () => {
    const driver = new XhciDriver()
    driver.start()
    let removed = 0
    const device = Object.assign(new TestDevice(), { removed: () => void removed++ })
    expect(driver.model.plug(device)).toBe(0)
    expect(driver.events()).toMatchObject([{ type: 34, pointer: 5 << 24 }])
    driver.writePort(5, POWER | CHANGED)
    driver.model.unplug(device)
    expect(removed).toBe(1)
    expect(driver.port(5)).toBe(POWER | (5 << 5) | CHANGED)
    expect(driver.events()).toMatchObject([{ type: 34, pointer: 5 << 24 }])
    expect(() => driver.model.unplug(device)).toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }))
  })

  test('a suspended port is resumed by the guest, or by a device that may', () => {
    const device = new TestDevice('test', 'full', true)
    const driver = new XhciDriver([device])
    driver.start()
    const slot = driver.address(5, 1)
    driver.configure(slot)
    const suspend = (): void => {
      driver.writePort(5, POWER | CHANGED | RESET_CHANGED | LINK_CHANGED)
      driver.writePort(5, POWER | 0x1_0000 | (3 << 5))
      expect((driver.port(5) >>> 5) & 0xf).toBe(3)
    }
    driver.control(slot, { type: 0, request: 3, value: 1, index: 0, length: 0 })
    suspend()
    driver.writePort(5, POWER | 0x1_0000 | (15 << 5))
    driver.writePort(5, POWER | 0x1_0000)
    expect(driver.port(5) & (LINK_CHANGED | (0xf << 5))).toBe(LINK_CHANGED)
    suspend()
    driver.events()
    device.port.wake(0x81)
    expect(driver.port(5) & (LINK_CHANGED | (0xf << 5))).toBe(LINK_CHANGED | (15 << 5))
    expect(driver.events()).toMatchObject([{ type: 34, pointer: 5 << 24 }])
    // It may no longer.
    driver.writePort(5, POWER | 0x1_0000)
    driver.control(slot, { type: 0, request: 1, value: 1, index: 0, length: 0 })
    suspend()
    device.port.wake(0x81)
    expect((driver.port(5) >>> 5) & 0xf).toBe(3)
  })
})

describe('interrupts (xHCI 1.2, §4.17, "Interrupters")', () => {
  test('the pin is high until the guest takes note', () => {
    const driver = new XhciDriver()
    driver.start()
    driver.command(0, 0, 0, 23 << 10)
    expect(driver.machine.level).toBe(true)
    driver.machine.write(0x1020, 3)
    expect(driver.machine.level).toBe(false)
  })

  test('a message is sent once, and again once the guest has ended its handler', () => {
    const driver = new XhciDriver()
    driver.start()
    driver.machine.enableMsix(8)
    driver.put(0, [0, 0, 0, 23 << 10])
    driver.doorbell(0, 0)
    driver.put(0, [0, 0, 0, 23 << 10])
    driver.doorbell(0, 0)
    expect(driver.machine.messages).toEqual([0])
    expect(driver.status & 8).toBe(8)
    // The handler has seen the first event only.
    driver.machine.write(0x1038, 0x4010 | 8)
    expect(driver.machine.messages).toEqual([0, 0])
    expect(driver.events()).toHaveLength(2)
    expect(driver.machine.messages).toEqual([0, 0])
    expect(driver.machine.level).toBe(false)
  })

  test('moderation holds the second one back', () => {
    const driver = new XhciDriver()
    driver.start()
    driver.machine.enableMsix(8)
    // 1000 × 250 ns
    driver.machine.write(0x1024, 1000)
    for (const sent of [1, 1]) {
      driver.command(0, 0, 0, 23 << 10)
      driver.put(0, [0, 0, 0, 23 << 10])
      driver.doorbell(0, 0)
      expect(driver.machine.messages).toHaveLength(sent)
    }
    driver.machine.advance(249_999)
    expect(driver.machine.messages).toHaveLength(1)
    driver.machine.advance(1)
    expect(driver.machine.messages).toHaveLength(2)
  })

  test('a full event ring says so, and loses nothing', () => {
    const driver = new XhciDriver()
    driver.start()
    let commands = 0
    // The ring has 32 places: one stays free, one is for the error.
    for (; commands < 40; commands++) {
      if (commands === 30) driver.machine.write(0x40, 5)
      if (commands >= 14 && commands % 14 === 0) continue
      driver.put(0, [commands, 0, 0, 23 << 10])
      driver.doorbell(0, 0)
    }
    const first = driver.events()
    expect(first).toHaveLength(31)
    expect(first.at(-1)).toMatchObject({ type: 37, code: 21 })
    const rest = driver.events()
    expect(first.length - 1 + rest.length).toBe(38)
  })
})

describe('lying guests', () => {
  test.each([
    { what: 'a command ring that is no memory', at: 0x58, value: 0x7fff_0001, status: 4 },
    { what: 'a context array that is no memory', at: 0x70, value: 0x7fff_0000, status: 4 },
  ])('$what ends the controller with a host system error', ({ at, value, status }) => {
    const driver = new XhciDriver([new TestDevice()])
    driver.start()
    driver.machine.write(at, value)
    driver.writePort(5, 0x210)
    const run = (): unknown => driver.address(5, 1)
    if (at === 0x58) {
      driver.machine.write(0x40, 0)
      driver.machine.write(at, value)
      driver.machine.write(0x40, 5)
      driver.doorbell(0, 0)
    } else expect(run).toThrow('Address Device')
    expect(driver.status & 0x1005).toBe(status | 1)
    driver.start()
    expect(driver.status & 0x1005).toBe(0)
  })

  test.each([
    { what: 'no segments', at: 0x1028, value: 0 },
    { what: 'too many segments', at: 0x1028, value: 17 },
    { what: 'a pointer on no segment', at: 0x1038, value: 0x100 },
  ])('an event ring of $what ends it with a controller error', ({ at, value }) => {
    const driver = new XhciDriver()
    driver.start()
    driver.machine.write(at, value)
    driver.put(0, [0, 0, 0, 23 << 10])
    driver.doorbell(0, 0)
    expect(driver.status & 0x1001).toBe(0x1001)
  })

  test('nothing is touched without the bus master bit', () => {
    const driver = new XhciDriver()
    driver.start()
    driver.machine.fn!.configWrite(4, 2, 2)
    driver.put(0, [0, 0, 0, 23 << 10])
    driver.doorbell(0, 0)
    expect(driver.events(false)).toEqual([])
    driver.machine.fn!.configWrite(4, 2, 6)
    expect(driver.events()).toMatchObject([{ type: 33, code: 1 }])
  })
})

test.each([
  { options: { device: 32 }, message: 'device 32' },
  { options: { device: 1, ports: 16 }, message: 'ports 16' },
  { options: { device: 1, ports: 1, devices: [new TestDevice('a'), new TestDevice('b')] }, message: '2 devices' },
  { options: { device: 1, devices: [new TestDevice(), new TestDevice()] }, message: "have the name 'test'" },
])('a controller is not made of $message', ({ options, message }) => {
  expect(() => new Xhci(options)).toThrow(message)
})
