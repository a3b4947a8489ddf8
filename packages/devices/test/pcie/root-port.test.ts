import { DeviceError } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { PcieRootPort } from '../../src/pcie/index.ts'
import { PortMachine, SLOT_CONTROL, SLOT_STATUS } from '../support/port-machine.ts'

const CARD = 0x5678_1234
const NOBODY = 0xffff_ffff
const LINK_STATUS = 0x12

/* Slot control: enable bits, and power. */
const BUTTON = 1 << 0
const PRESENCE = 1 << 3
const COMMAND = 1 << 4
const INTERRUPT = 1 << 5
const INDICATOR_ON = 1 << 8
const INDICATOR_BLINKS = 2 << 8
const INDICATOR_OFF = 3 << 8
const OFF = 1 << 10
const LINK_ENABLE = 1 << 12
/* Slot status. */
const PRESENT = 1 << 6
const LINK = 1 << 8

/** The link is active. */
const isUp = (machine: PortMachine): boolean => (machine.register(LINK_STATUS) & (1 << 13)) !== 0

describe('registers of the slot (PCI Express Base Specification 3.0, §7.8.9 to §7.8.11)', () => {
  test.each([
    // Attention button, power controller, both indicators, surprise, hot plug; slot 3.
    { hotPlug: true, capabilities: (3 << 19) | 0x7b, writable: 0x17f9 },
    { hotPlug: false, capabilities: 3 << 19, writable: 0 },
  ])('hot plug $hotPlug: capabilities, and what is writable', ({ hotPlug, capabilities, writable }) => {
    const machine = new PortMachine({ hotPlug })
    expect(machine.register(0x14, 4)).toBe(capabilities)
    machine.setRegister(SLOT_CONTROL, 0xffff)
    expect(machine.register(SLOT_CONTROL)).toBe(writable)
    machine.setRegister(SLOT_CONTROL, 0)
    expect(machine.register(SLOT_CONTROL)).toBe(0)
  })

  test.each([
    { occupied: true, control: 0x1c0, status: PRESENT, up: true, found: CARD },
    { occupied: false, control: 0x7c0, status: 0, up: false, found: NOBODY },
  ])('at power-on, with a card: $occupied', ({ occupied, control, status, up, found }) => {
    const machine = new PortMachine()
    if (occupied) machine.insert(false)
    machine.port.reset()
    machine.write(0x18, 4, 0x0001_0100)
    expect([machine.register(SLOT_CONTROL), machine.register(SLOT_STATUS)]).toEqual([control, status])
    expect([isUp(machine), machine.found]).toEqual([up, found])
  })

  test('events of slot status are cleared by ones; presence is not written', () => {
    const machine = new PortMachine()
    machine.insert(true)
    expect(machine.register(SLOT_STATUS)).toBe(PRESENT | PRESENCE | BUTTON)
    machine.setRegister(SLOT_STATUS, BUTTON)
    expect(machine.register(SLOT_STATUS)).toBe(PRESENT | PRESENCE)
    machine.setRegister(SLOT_STATUS, 0)
    expect(machine.register(SLOT_STATUS)).toBe(PRESENT | PRESENCE)
    machine.setRegister(SLOT_STATUS, 0xffff)
    expect(machine.register(SLOT_STATUS)).toBe(PRESENT)
  })

  test.each([
    { what: 'a word', at: SLOT_CONTROL, size: 2, completes: true },
    { what: 'its high byte', at: SLOT_CONTROL + 1, size: 1, completes: true },
    { what: 'a doubleword', at: SLOT_CONTROL, size: 4, completes: true },
    { what: 'slot status alone', at: SLOT_STATUS, size: 2, completes: false },
    { what: 'link control', at: 0x10, size: 2, completes: false },
  ])('a write of $what to slot control is a command: $completes', ({ at, size, completes }) => {
    const machine = new PortMachine()
    machine.setRegister(at, 0x07c0 >>> (8 * (at & 1)), size)
    expect(machine.register(SLOT_STATUS) & COMMAND).toBe(completes ? COMMAND : 0)
  })
})

describe('a card that comes (§6.7.1)', () => {
  test('is announced, and is there when the guest has given it power, or had left it on', () => {
    const on = new PortMachine()
    on.setRegister(SLOT_CONTROL, INDICATOR_ON)
    on.takeStatus()
    on.insert(true)
    expect([on.found, on.takeStatus()]).toEqual([CARD, PRESENT | PRESENCE | LINK])
    const machine = new PortMachine()
    machine.insert(true)
    expect([machine.found, isUp(machine)]).toEqual([NOBODY, false])
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON)
    expect([machine.found, isUp(machine)]).toEqual([CARD, true])
    expect(machine.takeStatus()).toBe(PRESENT | PRESENCE | BUTTON | COMMAND | LINK)
  })

  test('too soon for the guest is announced by the button a second after the indicator is out', async () => {
    const machine = new PortMachine()
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON | OFF)
    machine.takeStatus()
    machine.insert(true)
    expect(machine.takeStatus()).toBe(PRESENT | PRESENCE)
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    await machine.pass()
    expect(machine.takeStatus()).toBe(PRESENT | COMMAND)
    await machine.pass(1e9)
    expect(machine.takeStatus()).toBe(PRESENT | BUTTON)
    await machine.pass(1e9)
    expect(machine.takeStatus()).toBe(PRESENT)
  })

  test('too soon is not announced by the button where the guest gives it power by itself', async () => {
    const machine = new PortMachine()
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON | OFF)
    machine.insert(true)
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON)
    machine.takeStatus()
    await machine.pass(2e9)
    expect(machine.takeStatus()).toBe(PRESENT)
  })

  test('is refused by a port without hot plug', () => {
    const machine = new PortMachine({ hotPlug: false })
    expect(() => machine.insert(true)).toThrow(DeviceError)
    const cold = new PortMachine({ hotPlug: false })
    cold.insert(false)
    expect([cold.found, cold.register(SLOT_STATUS), isUp(cold)]).toEqual([CARD, PRESENT, true])
    expect(() => cold.tree.slot('slot')!.events.requested()).toThrow('nothing is unplugged here')
  })
})

describe('a card that goes', () => {
  const machineWithCard = (): PortMachine => {
    const machine = new PortMachine()
    machine.insert(false)
    return machine
  }
  const request = (machine: PortMachine): void => machine.tree.slot('slot')!.events.requested()

  test('is asked for by the button, and released when its power is gone and its indicator out', async () => {
    const machine = machineWithCard()
    request(machine)
    expect(machine.takeStatus()).toBe(PRESENT | BUTTON)
    machine.setRegister(SLOT_CONTROL, INDICATOR_BLINKS)
    machine.takeStatus()
    machine.setRegister(SLOT_CONTROL, INDICATOR_BLINKS | OFF)
    expect([machine.found, isUp(machine), machine.log]).toEqual([NOBODY, false, ['rest card']])
    await machine.pass()
    expect([machine.takeStatus(), machine.log]).toEqual([PRESENT | COMMAND | LINK, ['rest card']])
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    expect(machine.log).toEqual(['rest card', 'release slot'])
    machine.remove()
    expect(machine.takeStatus()).toBe(PRESENCE | COMMAND)
  })

  test('keeps the command from completing until its work in flight has ended', async () => {
    const machine = machineWithCard()
    request(machine)
    machine.takeStatus()
    machine.work = Promise.withResolvers()
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    await machine.pass()
    await machine.pass()
    expect([machine.takeStatus() & COMMAND, machine.log]).toEqual([0, ['rest card']])
    machine.work.resolve()
    await machine.pass()
    expect([machine.takeStatus() & COMMAND, machine.log]).toEqual([COMMAND, ['rest card', 'release slot']])
  })

  test('without a request it stays, and has power again, however soon the guest gives it', async () => {
    const machine = machineWithCard()
    machine.card!.config[0x40] = 7
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON)
    expect(machine.found).toBe(NOBODY)
    await machine.pass()
    expect([machine.found, machine.card!.config[0x40], machine.log]).toEqual([CARD, 0, ['rest card']])
    expect(machine.takeStatus()).toBe(PRESENT | COMMAND | LINK)
  })

  test('stays where it takes the place of one that was pulled, whose power the guest takes later', async () => {
    const machine = machineWithCard()
    void machine.tree.slot('slot')!.disconnect()
    machine.remove()
    machine.insert(true)
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    await machine.pass()
    expect(machine.log).not.toContain('release slot')
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON)
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    await machine.pass()
    expect(machine.log).toContain('release slot')
  })

  test('the button is not pressed again while the guest waits for that', () => {
    const machine = machineWithCard()
    request(machine)
    machine.setRegister(SLOT_CONTROL, INDICATOR_BLINKS)
    machine.takeStatus()
    request(machine)
    expect(machine.takeStatus() & BUTTON).toBe(0)
    machine.setRegister(SLOT_CONTROL, INDICATOR_ON)
    request(machine)
    expect(machine.takeStatus() & BUTTON).toBe(BUTTON)
  })

  test('is pulled: presence and link go', () => {
    const machine = machineWithCard()
    void machine.tree.slot('slot')!.disconnect()
    machine.remove()
    expect([machine.takeStatus(), isUp(machine), machine.found]).toEqual([PRESENCE | LINK, false, NOBODY])
  })

  test('leaves with a reset of the machine, when it was asked for', () => {
    const machine = machineWithCard()
    request(machine)
    machine.port.reset()
    expect(machine.log).toEqual(['release slot'])
    expect(machine.register(SLOT_CONTROL)).toBe(0x7c0)
    machine.port.reset()
    expect([machine.log.length, machine.register(SLOT_CONTROL)]).toEqual([1, 0x1c0])
  })
})

describe('interrupts (§6.7.3.4, "Software Notification of Hot-Plug Events")', () => {
  test.each([
    { what: 'the button', enable: BUTTON, cause: (machine: PortMachine) => machine.insert(true) },
    { what: 'presence', enable: PRESENCE, cause: (machine: PortMachine) => machine.insert(true) },
    { what: 'a command', enable: COMMAND, cause: (machine: PortMachine) => machine.setRegister(SLOT_CONTROL, 0x7f0) },
    {
      what: 'the link',
      enable: LINK_ENABLE,
      cause: (machine: PortMachine) => {
        machine.setRegister(SLOT_CONTROL, LINK_ENABLE | INTERRUPT)
        machine.insert(true)
      },
    },
  ])('the pin is up for $what while it is enabled and not cleared', ({ enable, cause }) => {
    const machine = new PortMachine()
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF | enable | INTERRUPT)
    machine.takeStatus()
    expect(machine.level).toBe(false)
    cause(machine)
    expect(machine.level).toBe(true)
    machine.setRegister(SLOT_CONTROL, (machine.register(SLOT_CONTROL) & ~INTERRUPT) | OFF)
    expect(machine.level).toBe(false)
    machine.setRegister(SLOT_CONTROL, machine.register(SLOT_CONTROL) | INTERRUPT)
    machine.takeStatus()
    expect(machine.level).toBe(false)
  })

  test('a message goes out for the first of several events', () => {
    const machine = new PortMachine()
    machine.enableMessages()
    machine.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF | BUTTON | PRESENCE | COMMAND | INTERRUPT)
    expect([machine.messages, machine.level]).toEqual([[0x41], false])
    machine.insert(true)
    expect(machine.messages).toEqual([0x41])
    machine.takeStatus()
    machine.setRegister(SLOT_CONTROL, machine.register(SLOT_CONTROL))
    expect(machine.messages).toEqual([0x41, 0x41])
  })
})

test('a card masters the bus only while the port does, which is so before firmware, and hears of that', () => {
  const unset = new PortMachine()
  unset.port.reset()
  expect(unset.read(4, 2)).toBe(4)
  const machine = new PortMachine()
  machine.insert(false)
  machine.tree.write(1 << 8, 4, 2, 4)
  expect([machine.card!.mayMaster, machine.written]).toEqual([true, [4]])
  machine.write(4, 2, 3)
  expect([machine.card!.mayMaster, machine.written]).toEqual([false, [4, 4]])
  machine.write(4, 2, 3)
  expect(machine.written).toHaveLength(2)
  machine.write(4, 2, 7)
  expect([machine.card!.mayMaster, machine.written]).toEqual([true, [4, 4, 4]])
  void machine.tree.slot('slot')!.disconnect()
  expect(machine.card!.mayMaster).toBe(false)
})

describe('state', () => {
  const copyTo = (from: PortMachine, occupied: boolean): PortMachine => {
    const to = new PortMachine()
    if (occupied) to.insert(false)
    to.tree.restore(structuredClone(from.tree.save()))
    to.port.restore(structuredClone(from.port.save()))
    to.port.resume()
    return to
  }

  test('a card without power has none after restore, and its request goes on', async () => {
    const first = new PortMachine()
    first.insert(false)
    first.tree.slot('slot')!.events.requested()
    first.setRegister(SLOT_CONTROL, INDICATOR_BLINKS | OFF)
    await first.port.quiesce()
    expect(first.register(SLOT_STATUS) & COMMAND).toBe(COMMAND)
    expect(new PortMachine().port.isAtRest()).toBe(true)
    const second = copyTo(first, true)
    const status = first.register(SLOT_STATUS)
    expect([second.found, isUp(second), second.register(SLOT_STATUS), second.log]).toEqual([NOBODY, false, status, []])
    second.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    expect(second.log).toEqual(['release slot'])
    // Saved between that and the removal.
    expect(copyTo(second, true).log).toEqual(['release slot'])
  })

  test('a card that came too soon is announced after restore', async () => {
    const first = new PortMachine()
    first.setRegister(SLOT_CONTROL, INDICATOR_ON | OFF)
    first.insert(true)
    first.setRegister(SLOT_CONTROL, INDICATOR_OFF | OFF)
    first.takeStatus()
    expect(first.port.isAtRest()).toBe(false)
    const second = copyTo(first, true)
    await second.pass(1e9)
    expect(second.port.isAtRest()).toBe(true)
    expect(second.takeStatus()).toBe(PRESENT | BUTTON)
  })

  test('a card with power is reached after restore, and another version is refused', () => {
    const first = new PortMachine()
    first.insert(true)
    first.setRegister(SLOT_CONTROL, INDICATOR_ON)
    expect([copyTo(first, true).found, copyTo(new PortMachine(), false).found]).toEqual([CARD, NOBODY])
    expect(() => new PortMachine().port.restore({ version: 1 })).toThrow('expected 2')
    expect(() => new PcieRootPort({ device: 3, busName: 'x' }).save()).toThrow('not attached')
  })
})
