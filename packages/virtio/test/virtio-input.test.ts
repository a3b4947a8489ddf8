import type { InputBackend, InputClient, InputEvent } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { VirtioInput, type VirtioInputOptions } from '../src/input.ts'
import { VirtioPci } from '../src/index.ts'
import { PciDriver } from './support/pci-driver.ts'
import { SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const EVENTS = { size: 64, descriptors: 0x1000, driver: 0x2000, device: 0x3000, eventIndex: false }
const STATUS = { size: 8, descriptors: 0x4000, driver: 0x5000, device: 0x6000, eventIndex: false }
const BUFFERS = 0x8000
const LAMPS = 0x9000
const KEY_A: InputEvent = { kind: 'key', usage: 4, down: true }
const KEY_A_UP: InputEvent = { ...KEY_A, down: false }
const SYN = [0, 0, 0]

/** A back end that notes what the device tells it. */
class Backend implements InputBackend {
  client!: InputClient
  readonly log: string[] = []
  connect(client: InputClient): void {
    this.client = client
  }
  ready(): void {
    this.log.push('ready')
  }
  setActive(active: boolean): void {
    this.log.push(active ? 'active' : 'not active')
  }
  setPointer(kind: string): void {
    this.log.push(kind)
  }
  setLeds(leds: Parameters<NonNullable<InputBackend['setLeds']>>[0]): void {
    this.log.push(
      Object.entries(leds)
        .filter(([, lit]) => lit)
        .map(([name]) => name)
        .join('+'),
    )
  }
}

/** A machine with an input device, and its driver. */
class Guest {
  readonly backend = new Backend()
  readonly model: VirtioPci
  readonly machine: VirtioMachine
  readonly driver: PciDriver
  #events!: SplitDriver
  #status!: SplitDriver

  constructor(kind: VirtioInputOptions['kind'], serialNumber = 'S-1') {
    this.model = new VirtioPci(new VirtioInput({ kind, input: this.backend, serialNumber }), { device: 3 })
    this.machine = new VirtioMachine(this.model)
    this.driver = new PciDriver(this.machine)
  }

  start(): this {
    const { machine, driver } = this
    machine.ram.fill(0, 0x1000, 0x7000)
    expect(driver.negotiate([32])).toBe(true)
    driver.setQueue(0, EVENTS)
    driver.setQueue(1, STATUS)
    driver.start()
    this.#events = new SplitDriver(machine.view, EVENTS)
    this.#status = new SplitDriver(machine.view, STATUS)
    return this
  }

  /** Makes buffers for events available. */
  offer(count: number, notifies = true): void {
    for (let i = 0; i < count; i++) this.#events.add([{ gpa: BUFFERS + 8 * i, length: 8, write: true }], i)
    this.#events.publish()
    if (notifies) this.driver.notify(0)
  }

  /** Events since the last time, whose buffers are then free. */
  events(): number[][] {
    return this.#events.reap().map(({ token, written }) => {
      expect(written).toBe(8)
      const at = BUFFERS + 8 * (token as number)
      const { view } = this.machine
      return [view.getUint16(at, true), view.getUint16(at + 2, true), view.getInt32(at + 4, true)]
    })
  }

  /** Sends an event of lamps. */
  lamp(type: number, code: number, value: number): void {
    const { view } = this.machine
    view.setUint16(LAMPS, type, true)
    view.setUint16(LAMPS + 2, code, true)
    view.setUint32(LAMPS + 4, value, true)
    this.#status.add([{ gpa: LAMPS, length: 8, write: false }], 0)
    this.#status.publish()
    this.driver.notify(1)
    expect(this.#status.reap()).toHaveLength(1)
  }

  /** What the configuration space answers. */
  ask(select: number, which: number): number[] {
    this.machine.write(4, 0x2000, 1, select)
    this.machine.write(4, 0x2001, 1, which)
    return Array.from({ length: this.driver.config(2, 1) }, (_, i) => this.driver.config(8 + i, 1))
  }

  codes(type: number): number[] {
    return this.ask(0x11, type).flatMap((byte, i) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (1 << bit)) !== 0).map((bit) => 8 * i + bit),
    )
  }
}

describe('configuration', () => {
  test.each([
    { kind: 'keyboard', name: 'Keyboard', product: 1, types: [1, 0x11, 0x14], properties: [] },
    { kind: 'mouse', name: 'Mouse', product: 2, types: [1, 2], properties: [1] },
    { kind: 'tablet', name: 'Tablet', product: 3, types: [1, 2, 3], properties: [1] },
  ] as const)('a $kind tells what it is', ({ kind, name, product, types, properties }) => {
    const guest = new Guest(kind)
    expect(String.fromCharCode(...guest.ask(1, 0))).toBe(`retrap Virtio ${name}`)
    expect(String.fromCharCode(...guest.ask(2, 0))).toBe('S-1')
    expect(guest.ask(3, 0)).toEqual([6, 0, 0x27, 0x06, product, 0, 1, 0])
    expect(guest.ask(0x10, 0)).toEqual(properties)
    const found = Array.from({ length: 256 }, (_, type) => type).filter((type) => guest.ask(0x11, type).length > 0)
    expect(found).toEqual(types)
    expect([guest.ask(0, 0), guest.ask(1, 1), guest.ask(0x13, 0), guest.ask(0xff, 0xff)]).toEqual([[], [], [], []])
  })

  test('keys, lamps, buttons, wheels and axes are listed', () => {
    const keys = new Guest('keyboard').codes(1)
    // Escape, A, F12, right GUI, F24; no button
    for (const code of [1, 30, 88, 126, 194]) expect(keys).toContain(code)
    expect(Math.max(...keys)).toBe(194)
    expect(new Guest('keyboard').codes(0x11)).toEqual([0, 1, 2])
    const mouse = new Guest('mouse')
    expect(mouse.codes(1)).toEqual([0x110, 0x111, 0x112, 0x113, 0x114])
    expect(mouse.codes(2)).toEqual([0, 1, 6, 8])
    expect(mouse.ask(0x12, 0)).toEqual([])
    const tablet = new Guest('tablet')
    expect([tablet.codes(2), tablet.codes(3)]).toEqual([
      [6, 8],
      [0, 1],
    ])
    const range = [...[0, 0, 0, 0], ...[0xff, 0x7f, 0, 0], ...Array.from({ length: 12 }, () => 0)]
    expect([tablet.ask(0x12, 0), tablet.ask(0x12, 1), tablet.ask(0x12, 2)]).toEqual([range, range, []])
  })

  test('a serial number of more than 128 bytes is refused, one of 128 is told', () => {
    expect(new Guest('mouse', 'x'.repeat(128)).ask(2, 0)).toHaveLength(128)
    expect(() => new Guest('mouse', 'ä'.repeat(65))).toThrow('expected at most 128 bytes')
  })
})

/** Codes of Linux's keys (`uapi/linux/input-event-codes.h`): letters and figures as they are printed, others by name. */
const LINUX_KEYS =
  'esc 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9 10 0 11 minus 12 equal 13 backspace 14 tab 15 q 16 w 17 e 18 r 19 t 20 y 21 ' +
  'u 22 i 23 o 24 p 25 leftbrace 26 rightbrace 27 enter 28 leftctrl 29 a 30 s 31 d 32 f 33 g 34 h 35 j 36 k 37 l 38 ' +
  'semicolon 39 apostrophe 40 grave 41 leftshift 42 backslash 43 z 44 x 45 c 46 v 47 b 48 n 49 m 50 comma 51 dot 52 ' +
  'slash 53 rightshift 54 kpasterisk 55 leftalt 56 space 57 capslock 58 f1 59 f2 60 f3 61 f4 62 f5 63 f6 64 f7 65 f8 66 ' +
  'f9 67 f10 68 numlock 69 scrolllock 70 kp7 71 kp8 72 kp9 73 kpminus 74 kp4 75 kp5 76 kp6 77 kpplus 78 kp1 79 kp2 80 ' +
  'kp3 81 kp0 82 kpdot 83 102nd 86 f11 87 f12 88 ro 89 henkan 92 katakanahiragana 93 muhenkan 94 kpenter 96 ' +
  'rightctrl 97 kpslash 98 sysrq 99 rightalt 100 home 102 up 103 pageup 104 left 105 right 106 end 107 down 108 ' +
  'pagedown 109 insert 110 delete 111 mute 113 volumedown 114 volumeup 115 power 116 kpequal 117 pause 119 kpcomma 121 ' +
  'hangeul 122 hanja 123 yen 124 leftmeta 125 rightmeta 126 compose 127 f13 183 f14 184 f15 185 f16 186 f17 187 f18 188 ' +
  'f19 189 f20 190 f21 191 f22 192 f23 193 f24 194'
/** Usages of the keyboard page from a first one on (USB HID Usage Tables, "Keyboard/Keypad Page"). */
const USAGES: readonly (readonly [number, string])[] = [
  [0x04, 'a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4 5 6 7 8 9 0 enter esc backspace tab space minus'],
  [0x2e, 'equal leftbrace rightbrace backslash backslash semicolon apostrophe grave comma dot slash capslock'],
  [0x3a, 'f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 sysrq scrolllock pause insert home pageup delete end pagedown'],
  [
    0x4f,
    'right left down up numlock kpslash kpasterisk kpminus kpplus kpenter kp1 kp2 kp3 kp4 kp5 kp6 kp7 kp8 kp9 kp0',
  ],
  [0x63, 'kpdot 102nd compose power kpequal f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23 f24'],
  [0x7f, 'mute volumeup volumedown'],
  [0x85, 'kpcomma'],
  [0x87, 'ro katakanahiragana yen henkan muhenkan'],
  [0x90, 'hangeul hanja'],
  [0xe0, 'leftctrl leftshift leftalt leftmeta rightctrl rightshift rightalt rightmeta'],
]

describe('events', () => {
  test('each key has its code of Linux', () => {
    const words = LINUX_KEYS.split(' ')
    const codes = new Map(words.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(words[i + 1])] as const] : [])))
    const guest = new Guest('keyboard').start()
    const expected = new Map(
      USAGES.flatMap(([first, names]) => names.split(' ').map((name, i) => [first + i, codes.get(name)!] as const)),
    )
    const found = new Map<number, number>()
    guest.offer(4)
    for (let usage = 0; usage < 0x101; usage++) {
      guest.backend.client.input([{ kind: 'key', usage, down: true }])
      guest.backend.client.input([{ kind: 'key', usage, down: false }])
      const [down, , up] = guest.events()
      if (down === undefined) continue
      guest.offer(4)
      expect([down[0], down[2], up]).toEqual([1, 1, [1, down[1], 0]])
      found.set(usage, down[1]!)
    }
    expect(found).toEqual(expected)
  })

  test('keys go down and up once; one that it does not have is nothing', () => {
    const guest = new Guest('keyboard').start()
    guest.offer(16)
    const other: InputEvent = { kind: 'key', usage: 1, down: true }
    const far: InputEvent = { kind: 'key', usage: 1e9, down: true }
    expect(guest.backend.client.input([KEY_A, KEY_A, other, far, KEY_A_UP])).toBe(5)
    expect(guest.events()).toEqual([[1, 30, 1], SYN, [1, 30, 0], SYN])
  })

  test('a mouse moves, turns and clicks; it has no place', () => {
    const guest = new Guest('mouse').start()
    guest.offer(16)
    guest.backend.client.input([
      { kind: 'relative', dx: 5, dy: -7 },
      { kind: 'relative', dx: 0, dy: 1.6 },
      { kind: 'absolute', x: 1, y: 2 },
      { kind: 'wheel', vertical: -1, horizontal: 2 },
      { kind: 'wheel', vertical: 0, horizontal: 0 },
      { kind: 'button', button: 5, down: true },
      { kind: 'button', button: 6, down: true },
      { kind: 'button', button: 0, down: true },
    ])
    expect(guest.events()).toEqual([
      ...[[2, 0, 5], [2, 1, -7], SYN],
      ...[[2, 1, 2], SYN],
      ...[[2, 8, -1], [2, 6, 2], SYN],
      ...[[1, 0x114, 1], SYN],
    ])
  })

  test('a tablet has a place from 0 to 32767', () => {
    const guest = new Guest('tablet').start()
    guest.offer(16)
    guest.backend.client.input([
      { kind: 'absolute', x: 0, y: 0x4321 },
      { kind: 'relative', dx: 1, dy: 1 },
      { kind: 'absolute', x: -3, y: 1e12 },
    ])
    expect(guest.events()).toEqual([[3, 0, 0], [3, 1, 0x4321], SYN, [3, 0, 0], [3, 1, 0x7fff], SYN])
  })

  test('it waits for buffers, takes no more than 64 events meanwhile, and asks for the rest', () => {
    const guest = new Guest('keyboard').start()
    const many = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? KEY_A : KEY_A_UP))
    expect(guest.backend.client.input(many)).toBe(32)
    guest.backend.log.length = 0
    guest.offer(3)
    expect(guest.events()).toEqual([[1, 30, 1], SYN, [1, 30, 0]])
    expect(guest.backend.log).toEqual(['ready'])
    guest.offer(64)
    expect(guest.events()).toHaveLength(61)
    expect(guest.backend.log).toEqual(['ready'])
  })

  test('it takes none before the driver works, after a reset, and while the machine is quiet', async () => {
    const guest = new Guest('tablet')
    const place: InputEvent = { kind: 'absolute', x: 1, y: 2 }
    expect(guest.backend.client.input([place])).toBe(0)
    guest.start().offer(8)
    expect(guest.backend.log.slice(-3)).toEqual(['active', 'absolute', 'ready'])
    await guest.model.quiesce(1000)
    expect(guest.backend.client.input([place])).toBe(0)
    guest.model.resume()
    expect(guest.model.isAtRest()).toBe(true)
    expect(guest.backend.log.at(-1)).toBe('ready')
    expect(guest.backend.client.input([place])).toBe(1)
    expect(guest.events()).toHaveLength(3)
    guest.driver.status = 0
    expect(guest.backend.log.slice(-2)).toEqual(['not active', 'none'])
    expect(guest.backend.client.input([place])).toBe(0)
  })
})

test('a keyboard is at rest unless an event waits for buffers that are there', () => {
  const guest = new Guest('keyboard').start()
  expect(guest.model.isAtRest()).toBe(true)
  guest.backend.client.input([KEY_A])
  expect(guest.model.isAtRest()).toBe(true)
  guest.offer(8, false)
  expect(guest.model.isAtRest()).toBe(false)
  guest.driver.notify(0)
  expect(guest.model.isAtRest()).toBe(true)
})

test('lamps are those that the driver lights; a reset puts them out', () => {
  const guest = new Guest('keyboard').start()
  guest.backend.log.length = 0
  guest.lamp(0x11, 1, 1)
  guest.lamp(0x11, 0, 1)
  guest.lamp(0x11, 0, 1)
  guest.lamp(0x11, 1, 0)
  guest.lamp(0x11, 3, 1)
  guest.lamp(0x14, 2, 1)
  guest.driver.status = 0
  expect(guest.backend.log).toEqual(['capsLock', 'numLock+capsLock', 'numLock', '', 'not active'])
})

test('a saved keyboard goes on elsewhere: keys that are down, events that wait, lamps, and the question', () => {
  const guest = new Guest('keyboard').start()
  guest.lamp(0x11, 2, 1)
  guest.backend.client.input([KEY_A])
  guest.ask(1, 0)
  const state = structuredClone(guest.model.save())
  const other = new Guest('keyboard').start()
  other.machine.ram.set(guest.machine.ram)
  other.model.restore(state)
  other.model.resume()
  expect(other.backend.log).toContain('scrollLock')
  expect(other.backend.log.at(-1)).toBe('active')
  expect(other.driver.config(2, 1)).toBe('retrap Virtio Keyboard'.length)
  other.offer(8)
  expect(other.backend.client.input([KEY_A, KEY_A_UP])).toBe(2)
  expect(other.events()).toEqual([[1, 30, 1], SYN, [1, 30, 0], SYN])
})
