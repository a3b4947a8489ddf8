import { describe, expect, test } from 'vitest'
import { TestDevice } from './support/test-device.ts'
import { CHAIN, DATA, IOC, ISP, trbType, type Words, XhciDriver } from './support/xhci-driver.ts'

const NORMAL = trbType(1)
const BULK_IN = 3
const BULK_OUT = 4
const INTERRUPT_IN = 7

/** A driver whose device has its endpoints. */
function started(speed: 'full' | 'super' = 'full'): { driver: XhciDriver; device: TestDevice; slot: number } {
  const device = new TestDevice('test', speed)
  const driver = new XhciDriver([device])
  driver.start()
  driver.events()
  const slot = driver.address(speed === 'super' ? 1 : 5, speed === 'super' ? 4 : 1)
  driver.configure(slot)
  driver.addEndpoint(slot, BULK_IN, 6)
  driver.addEndpoint(slot, BULK_OUT, 2)
  driver.addEndpoint(slot, INTERRUPT_IN, 7, 3)
  return { driver, device, slot }
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i + 1)

describe('commands (xHCI 1.2, §4.6, "Command Interface")', () => {
  test('slots are given out until there are no more', () => {
    const driver = new XhciDriver()
    driver.start()
    const enable = (): { code: number; slot: number } => driver.command(0, 0, 0, trbType(9))
    for (let slot = 1; slot <= 8; slot++) expect(enable()).toMatchObject({ code: 1, slot })
    expect(enable()).toMatchObject({ code: 9, slot: 0 })
    expect(driver.command(0, 0, 0, trbType(10) | (3 << 24))).toMatchObject({ code: 1 })
    expect(enable()).toMatchObject({ code: 1, slot: 3 })
  })

  test('Address Device shows slot and endpoint 0 in the device context', () => {
    const { driver, slot } = started()
    // Configured, with the slot's number as address
    expect(driver.output(slot, 0, 3)).toBe(((3 << 27) | slot) >>> 0)
    expect(driver.output(slot, 0, 0) >>> 27).toBe(INTERRUPT_IN)
    expect(driver.output(slot, 1, 0) & 7).toBe(1)
    expect(driver.output(slot, BULK_IN, 0) & 7).toBe(1)
  })

  test.each([
    { what: 'a slot that is not enabled', words: [0, 0, 0, trbType(11) | (7 << 24)], code: 11 },
    { what: 'an endpoint that is not', words: [0, 0, 0, trbType(15) | (9 << 16) | (1 << 24)], code: 12 },
    { what: 'Reset Endpoint of a running one', words: [0, 0, 0, trbType(14) | (3 << 16) | (1 << 24)], code: 19 },
    { what: 'Set TR Dequeue of a running one', words: [0, 0, 0, trbType(16) | (3 << 16) | (1 << 24)], code: 19 },
    { what: 'Address Device again', words: [0x6000, 0, 0, trbType(11) | (1 << 24)], code: 19 },
    { what: 'a type that there is not', words: [0, 0, 0, trbType(22)], code: 5 },
  ] satisfies readonly { what: string; words: Words; code: number }[])(
    '$what: completion code $code',
    ({ words, code }) => {
      expect(started().driver.command(...words)).toMatchObject({ code })
    },
  )

  test.each([
    { what: 'isochronous', kind: 5 },
    { what: 'of the wrong direction', kind: 2 },
    { what: 'of no type', kind: 0 },
  ])('an endpoint that is $what is refused', ({ kind }) => {
    const { driver, slot } = started()
    expect(driver.addEndpoint(slot, BULK_IN, kind)).toMatchObject({ code: 17 })
  })

  test.each([
    { what: 'dropped', words: [0x6000, 0, 0, trbType(12) | (1 << 24)] },
    { what: 'deconfigured', words: [0, 0, 0, trbType(12) | 0x200 | (1 << 24)] },
  ] satisfies readonly { what: string; words: Words }[])(
    'an endpoint that is $what while it runs moves nothing more',
    ({ words }) => {
      const { driver, device, slot } = started()
      device.answers.push(bytes(8), bytes(8))
      driver.put(32 * slot + INTERRUPT_IN, [DATA, 0, 8, NORMAL | IOC], [DATA + 8, 0, 8, NORMAL | IOC])
      driver.doorbell(slot, INTERRUPT_IN)
      driver.machine.ram.fill(0, 0x6000, 0x6420)
      driver.input(0, 1 << INTERRUPT_IN, 1)
      expect(driver.command(...words)).toMatchObject({ code: 1 })
      driver.machine.advance(10e6)
      expect(driver.events()).toEqual([])
      expect(driver.machine.view.getUint32(DATA + 8, true)).toBe(0)
    },
  )

  test('a port without a device is a transaction error, and one that there is not a parameter error', () => {
    const driver = new XhciDriver([])
    driver.start()
    expect(() => driver.address(6, 1)).toThrow('Address Device: 4')
    expect(() => driver.address(9, 1)).toThrow('Address Device: 17')
  })

  test('Reset Device and Deconfigure take the endpoints away', () => {
    const { driver, slot } = started()
    expect(driver.command(0, 0, 0, trbType(12) | 0x200 | (slot << 24))).toMatchObject({ code: 1 })
    expect(driver.output(slot, 0, 3) >>> 27).toBe(2)
    expect(driver.output(slot, BULK_IN, 0) & 7).toBe(0)
    expect(driver.command(0, 0, 0, trbType(17) | (slot << 24))).toMatchObject({ code: 1 })
    expect(driver.output(slot, 0, 3) >>> 0).toBe((1 << 27) >>> 0)
    expect(driver.command(0, 0, 0, trbType(17) | (slot << 24))).toMatchObject({ code: 19 })
  })

  test('the ring stops where the guest says so', () => {
    const driver = new XhciDriver()
    driver.start()
    driver.command(0, 0, 0, trbType(23))
    expect(driver.machine.read(0x58)).toBe(8)
    driver.machine.write(0x58, 2)
    expect(driver.machine.read(0x58)).toBe(0)
    expect(driver.events()).toMatchObject([{ type: 33, code: 24 }])
    expect(driver.command(0, 0, 0, trbType(23))).toMatchObject({ code: 1 })
  })
})

describe('control transfers (xHCI 1.2, §4.11.2.2, "Setup Stage, Data Stage, and Status Stage TRBs")', () => {
  test('a descriptor shorter than the host asks for ends short', () => {
    const { driver, slot } = started()
    const { events, data } = driver.control(slot, { type: 0x80, request: 6, value: 0x100, index: 0, length: 64 })
    expect(events).toMatchObject([
      { type: 32, code: 13, length: 46, endpoint: 1 },
      { type: 32, code: 1, endpoint: 1 },
    ])
    expect([...data]).toEqual([18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 0, 2, 0, 1])
  })

  test('data for the device arrives with its request', () => {
    const { driver, device, slot } = started()
    const setup = { type: 0x21, request: 9, value: 0x200, index: 0, length: 3 }
    expect(driver.control(slot, setup, Uint8Array.of(7, 8, 9)).events).toMatchObject([{ code: 1 }])
    expect(device.requests).toEqual([{ setup, data: Uint8Array.of(7, 8, 9) }])
  })

  test('a refused request halts endpoint 0 until it is reset', () => {
    const { driver, device, slot } = started()
    device.controlAnswer = 'stall'
    const setup = { type: 0x41, request: 1, value: 0, index: 0, length: 0 }
    expect(driver.control(slot, setup).events).toMatchObject([{ code: 6 }])
    expect(driver.output(slot, 1, 0) & 7).toBe(2)
    expect(driver.command(0, 0, 0, trbType(14) | (1 << 16) | (slot << 24))).toMatchObject({ code: 1 })
    const at = driver.ring(slot, 1)
    expect(driver.command(at | 1, 0, 0, trbType(16) | (1 << 16) | (slot << 24))).toMatchObject({ code: 1 })
    device.controlAnswer = new Uint8Array(0)
    expect(driver.control(slot, setup).events).toMatchObject([{ code: 1 }])
  })

  test('a request that the device cannot answer yet waits', () => {
    const { driver, device, slot } = started()
    device.controlAnswer = 'nak'
    const setup = { type: 0xc1, request: 1, value: 0, index: 0, length: 4 }
    expect(driver.control(slot, setup).events).toEqual([])
    device.controlAnswer = Uint8Array.of(1, 2, 3, 4)
    device.port.wake(0)
    expect(driver.events()).toMatchObject([{ code: 1 }])
    expect([...driver.machine.ram.subarray(DATA, DATA + 4)]).toEqual([1, 2, 3, 4])
  })
})

describe('transfers (xHCI 1.2, §4.10, "Transfer Ring Events", and §4.11, "TRBs")', () => {
  const ringOf = (slot: number, index: number): number => 32 * slot + index

  test('a chain is one transfer, with one event at its end', () => {
    const { driver, device, slot } = started()
    driver.machine.ram.set(bytes(30), DATA)
    const chain = [10, 20].map((length, i) => [DATA + 10 * i, 0, length, NORMAL | (i === 0 ? CHAIN : IOC)] as const)
    const [, last] = driver.put(ringOf(slot, BULK_OUT), ...chain)
    driver.doorbell(slot, BULK_OUT)
    expect(driver.events()).toMatchObject([{ code: 1, length: 0, pointer: last, endpoint: BULK_OUT }])
    expect(device.taken).toEqual([bytes(30)])
  })

  test('a ring goes round by its link', () => {
    const { driver, device, slot } = started()
    for (let i = 0; i < 40; i++) {
      driver.machine.ram[DATA] = i
      driver.put(ringOf(slot, BULK_OUT), [DATA, 0, 1, NORMAL | IOC])
      driver.doorbell(slot, BULK_OUT)
      expect(driver.events()).toMatchObject([{ code: 1 }])
    }
    expect(device.taken.map(([value]) => value)).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })

  test.each([
    { what: 'asks for it', flags: ISP, told: [{ code: 13, length: 15 }] },
    { what: 'does not, the last one does', flags: 0, told: [{ code: 13, length: 20 }] },
  ])('a short packet where its piece $what', ({ flags, told }) => {
    const { driver, device, slot } = started()
    device.answers.push(bytes(25))
    const pieces = [
      [DATA, 0, 20, NORMAL | CHAIN | flags],
      [DATA + 20, 0, 20, NORMAL | CHAIN | flags],
      [DATA + 40, 0, 20, NORMAL | IOC | flags],
    ] as const
    driver.put(ringOf(slot, BULK_IN), ...pieces)
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toMatchObject(told)
    expect(driver.machine.ram.subarray(DATA, DATA + 26)).toEqual(Uint8Array.of(...bytes(25), 0))
  })

  test('an Event Data TRB tells the bytes that were moved, and a word of the driver', () => {
    const { driver, device, slot } = started()
    device.answers.push(bytes(25))
    const pieces = [
      [DATA, 0, 40, NORMAL | CHAIN],
      [0x1234_5678, 0x9abc, 0, trbType(7) | IOC],
    ] as const
    driver.put(ringOf(slot, BULK_IN), ...pieces)
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toMatchObject([{ code: 13, length: 25, pointer: 0x9abc_1234_5678, flags: 4 }])
  })

  test('immediate data is in the TRB itself', () => {
    const { driver, device, slot } = started()
    driver.put(ringOf(slot, BULK_OUT), [0x0403_0201, 0x0605, 6, NORMAL | IOC | 0x40])
    driver.doorbell(slot, BULK_OUT)
    expect(device.taken).toEqual([bytes(6)])
  })

  test.each([
    { what: 'more than was asked for is babble', answer: bytes(9), code: 3, state: 2 },
    { what: 'a stall halts', answer: 'stall' as const, code: 6, state: 2 },
  ])('$what', ({ answer, code, state }) => {
    const { driver, device, slot } = started()
    device.answers.push(answer)
    driver.put(ringOf(slot, BULK_IN), [DATA, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toMatchObject([{ code, length: 8 }])
    expect(driver.output(slot, BULK_IN, 0) & 7).toBe(state)
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toEqual([])
  })

  test('a device that has nothing yet is asked again when it says so', () => {
    const { driver, device, slot } = started()
    driver.put(ringOf(slot, BULK_IN), [DATA, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toEqual([])
    device.answers.push(bytes(8))
    device.port.wake(0x81)
    expect(driver.events()).toMatchObject([{ code: 1, length: 0 }])
  })

  test('Stop Endpoint tells of the transfer under way; a new dequeue pointer passes it over', () => {
    const { driver, device, slot } = started()
    const [first] = driver.put(ringOf(slot, BULK_IN), [DATA, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, BULK_IN)
    const [stop] = driver.put(0, [0, 0, 0, trbType(15) | (BULK_IN << 16) | (slot << 24)])
    driver.doorbell(0, 0)
    expect(driver.events()).toMatchObject([
      { type: 32, code: 26, length: 8, pointer: first },
      { type: 33, code: 1, pointer: stop },
    ])
    expect(driver.output(slot, BULK_IN, 0) & 7).toBe(3)
    expect(driver.output(slot, BULK_IN, 2)).toBe(first! | 1)
    device.answers.push(bytes(4))
    device.port.wake(0x81)
    expect(driver.events()).toEqual([])
    driver.command((first! + 16) | 1, 0, 0, trbType(16) | (BULK_IN << 16) | (slot << 24))
    const [second] = driver.put(ringOf(slot, BULK_IN), [DATA, 0, 4, NORMAL | IOC])
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toMatchObject([{ code: 1, pointer: second }])
  })

  test('an interrupt endpoint is asked once in its interval', () => {
    const { driver, device, slot } = started()
    device.answers.push(bytes(1), bytes(2))
    driver.put(ringOf(slot, INTERRUPT_IN), [DATA, 0, 8, NORMAL | IOC], [DATA + 8, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, INTERRUPT_IN)
    expect(driver.events()).toMatchObject([{ code: 13, length: 7 }])
    driver.machine.advance(999_999)
    expect(driver.events()).toEqual([])
    driver.machine.advance(1)
    expect(driver.events()).toMatchObject([{ code: 13, length: 6 }])
  })

  test('what waits for a device that is pulled out ends with a transaction error', () => {
    const { driver, device, slot } = started()
    driver.put(ringOf(slot, BULK_IN), [DATA, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, BULK_IN)
    driver.model.unplug(device)
    expect(driver.events()).toContainEqual(expect.objectContaining({ type: 32, code: 4 }))
  })

  test.each([
    { what: 'a link to itself', linkTo: 0, first: 6 },
    { what: 'a chain without an end', linkTo: 0, first: 1 },
  ])('$what ends with a TRB error', ({ linkTo, first }) => {
    const { driver, slot } = started()
    const at = driver.ring(slot, BULK_IN)
    const { view } = driver.machine
    // The second one leads back, without a change of the cycle.
    for (const [i, type] of [first, 6].entries()) {
      view.setUint32(at + 16 * i, at + linkTo, true)
      view.setUint32(at + 16 * i + 8, 8, true)
      view.setUint32(at + 16 * i + 12, trbType(type) | CHAIN | 1, true)
    }
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toMatchObject([{ type: 32, code: 5 }])
    expect(driver.output(slot, BULK_IN, 0) & 7).toBe(4)
  })

  test('transfers without an end leave others their turn', () => {
    const { driver, device, slot } = started()
    const at = driver.ring(slot, BULK_OUT)
    // No-ops, and a link back without a change of the cycle
    for (let i = 0; i < 15; i++) driver.machine.view.setUint32(at + 16 * i + 12, trbType(8) | 1, true)
    driver.machine.view.setUint32(at + 240, at, true)
    driver.machine.view.setUint32(at + 252, trbType(6) | 1, true)
    const before = driver.machine.reads
    driver.doorbell(slot, BULK_OUT)
    expect(driver.machine.reads - before).toBeLessThan(2000)
    device.answers.push(bytes(8))
    driver.put(ringOf(slot, BULK_IN), [DATA, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, BULK_IN)
    expect(driver.events()).toMatchObject([{ code: 1, endpoint: BULK_IN }])
  })

  test('transfers whose end is not there yet are not all read at once', () => {
    const { driver, slot } = started()
    const { machine } = driver
    for (let at = 0x4_0000; at < 0x4_fa00; at += 16) machine.view.setUint32(at + 12, trbType(1) | CHAIN | 1, true)
    const endpoints = [BULK_IN, BULK_OUT, INTERRUPT_IN]
    for (const index of endpoints) {
      driver.put(ringOf(slot, index), [0x4_0000, 0, 0, trbType(6) | CHAIN])
      driver.doorbell(slot, index)
    }
    const before = machine.reads
    // A write to the port has all its rings looked at.
    driver.writePort(5, 0x200)
    expect(machine.reads - before).toBeLessThan(5000)
    machine.advance(1e6)
    expect(machine.reads - before).toBeGreaterThan(12_000)
  })

  test('data that is no memory is a host system error', () => {
    const { driver, slot } = started()
    driver.put(ringOf(slot, BULK_OUT), [0x7000_0000, 0, 8, NORMAL | IOC])
    driver.doorbell(slot, BULK_OUT)
    expect(driver.status & 5).toBe(5)
  })
})
