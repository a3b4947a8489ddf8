import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BYTE_NS, hexBytes, Ps2Machine } from '../support/ps2-machine.ts'

const MS = 1e6
const A = 0x04
const [CONTROL, SHIFT, ALT, RIGHT_SHIFT] = [0xe0, 0xe1, 0xe2, 0xe5]
const [PRINT_SCREEN, PAUSE, HOME, UP, KEYPAD_SLASH] = [0x46, 0x48, 0x4a, 0x52, 0x54]

describe('codes of keys (Microsoft, Keyboard Scan Code Specification, appendix C)', () => {
  test.each([
    { key: 'A', held: [], usage: A, set2: '1C F0 1C', set1: '1E 9E' },
    { key: 'F7', held: [], usage: 0x40, set2: '83 F0 83', set1: '41 C1' },
    { key: 'right Control', held: [], usage: 0xe4, set2: 'E0 14 E0 F0 14', set1: 'E0 1D E0 9D' },
    { key: 'keypad Enter', held: [], usage: 0x58, set2: 'E0 5A E0 F0 5A', set1: 'E0 1C E0 9C' },
    { key: 'Home', held: [], usage: HOME, set2: 'E0 6C E0 F0 6C', set1: 'E0 47 E0 C7' },
    {
      key: 'Home with Shift',
      held: [SHIFT],
      usage: HOME,
      set2: 'E0 F0 12 E0 6C E0 F0 6C E0 12',
      set1: 'E0 AA E0 47 E0 C7 E0 2A',
    },
    {
      key: 'Up with right Shift',
      held: [RIGHT_SHIFT],
      usage: UP,
      set2: 'E0 F0 59 E0 75 E0 F0 75 E0 59',
      set1: 'E0 B6 E0 48 E0 C8 E0 36',
    },
    {
      key: 'keypad / with Shift',
      held: [SHIFT],
      usage: KEYPAD_SLASH,
      set2: 'E0 F0 12 E0 4A E0 F0 4A E0 12',
      set1: 'E0 AA E0 35 E0 B5 E0 2A',
    },
    {
      key: 'Print Screen',
      held: [],
      usage: PRINT_SCREEN,
      set2: 'E0 12 E0 7C E0 F0 7C E0 F0 12',
      set1: 'E0 2A E0 37 E0 B7 E0 AA',
    },
    {
      key: 'Print Screen with Control',
      held: [CONTROL],
      usage: PRINT_SCREEN,
      set2: 'E0 7C E0 F0 7C',
      set1: 'E0 37 E0 B7',
    },
    { key: 'Print Screen with Alt', held: [ALT], usage: PRINT_SCREEN, set2: '84 F0 84', set1: '54 D4' },
    { key: 'Pause', held: [], usage: PAUSE, set2: 'E1 14 77 E1 F0 14 F0 77', set1: 'E1 1D 45 E1 9D C5' },
    { key: 'Pause with Control', held: [CONTROL], usage: PAUSE, set2: 'E0 7E E0 F0 7E', set1: 'E0 46 E0 C6' },
    { key: 'a key that no keyboard has', held: [], usage: 0xa5, set2: '', set1: '' },
  ])('$key: $set2, in set 1 $set1', ({ held, usage, set2, set1 }) => {
    const codes = (machine: Ps2Machine): string => {
      machine.press(...held)
      machine.read()
      machine.press(usage)
      machine.release(usage)
      return hexBytes(machine.read())
    }
    expect(codes(new Ps2Machine())).toBe(set2)
    // Translated by the controller, and by a keyboard that was told to.
    expect(codes(new Ps2Machine({}, 0x43))).toBe(set1)
    const own = new Ps2Machine()
    own.keyboard(0xf0, 1)
    expect(codes(own)).toBe(set1)
  })

  test('with the lamp of Num Lock lit, navigation keys have a Shift around them', () => {
    const machine = new Ps2Machine()
    machine.keyboard(0xed, 0x02)
    machine.press(HOME)
    machine.release(HOME)
    expect(hexBytes(machine.read())).toBe('E0 12 E0 6C E0 F0 6C E0 F0 12')
    machine.press(SHIFT)
    machine.read()
    machine.press(HOME)
    expect(hexBytes(machine.read())).toBe('E0 6C')
  })

  test('set 3: one code a key, and break codes of a few', () => {
    const machine = new Ps2Machine()
    expect(hexBytes(machine.keyboard(0xf0, 3, 0xf0, 0))).toBe('FA FA FA FA 03')
    for (const usage of [A, 0x29, 0xe1, 0xe4, PAUSE]) {
      machine.press(usage)
      machine.release(usage)
    }
    expect(hexBytes(machine.read())).toBe('1C 08 12 F0 12 58 62')
    // All keys: make, repeat and break; then A alone without a break code.
    expect(hexBytes(machine.keyboard(0xfa, 0xfb, 0x1c, 0xf4))).toBe('FA FA FA FA')
    for (const usage of [A, 0x29]) {
      machine.press(usage)
      machine.release(usage)
    }
    expect(hexBytes(machine.read())).toBe('1C 08 F0 08')
  })
})

describe('commands (IBM PS/2 Hardware Interface Technical Reference, "Commands from the System")', () => {
  test.each([
    { name: 'echo', bytes: [0xee], answer: 'EE' },
    { name: 'identify', bytes: [0xf2], answer: 'FA AB 83' },
    { name: 'lamps', bytes: [0xed, 0x07], answer: 'FA FA' },
    { name: 'a command instead of data', bytes: [0xed, 0xee], answer: 'FA EE' },
    { name: 'typematic rate', bytes: [0xf3, 0x00], answer: 'FA FA' },
    { name: 'which set', bytes: [0xf0, 0x00], answer: 'FA FA 02' },
    { name: 'a set that there is not', bytes: [0xf0, 0x04, 0x01], answer: 'FA FE FA' },
    { name: 'enable, disable, defaults', bytes: [0xf4, 0xf5, 0xf6], answer: 'FA FA FA' },
    { name: 'no command', bytes: [0xef], answer: 'FE' },
    { name: 'send again', bytes: [0xf2, 0xfe, 0xef, 0xfe], answer: 'FA AB 83 83 FE 83' },
  ])('$name: $answer', ({ bytes, answer }) => {
    expect(hexBytes(new Ps2Machine().keyboard(...bytes))).toBe(answer)
  })

  test('the identity is translated as any other byte', () => {
    expect(hexBytes(new Ps2Machine({}, 0x43).keyboard(0xf2))).toBe('FA AB 41')
  })

  test('a reset is acknowledged, and the self-test passes 5 ms later', () => {
    const machine = new Ps2Machine()
    machine.keyboard(0xed, 0x07, 0xf0, 0x01)
    expect(hexBytes(machine.keyboard(0xff))).toBe('FA')
    machine.press(A)
    machine.machine.advance(MS)
    expect(machine.read()).toEqual([])
    machine.machine.advance(5 * MS)
    expect(hexBytes(machine.read())).toBe('AA')
    expect(hexBytes(machine.keyboard(0xf0, 0x00))).toBe('FA FA 02')
    expect(machine.keys.said).toEqual(['leds NCS', 'leds ---'])
  })

  test('lamps are lit one by one', () => {
    const machine = new Ps2Machine()
    for (const leds of [1, 2, 4]) machine.keyboard(0xed, leds)
    expect(machine.keys.said).toEqual(['leds --S', 'leds N--', 'leds -C-'])
  })

  test('a keyboard that is disabled looks at no keys, and one that is enabled again starts afresh', () => {
    const machine = new Ps2Machine()
    machine.press(A)
    machine.keyboard(0xf5)
    machine.release(A)
    machine.press(0x05)
    expect(machine.read()).toEqual([])
    machine.keyboard(0xf4)
    machine.release(0x05)
    expect(hexBytes(machine.read())).toBe('F0 32')
  })
})

describe('repeats', () => {
  /** When codes come from now on, in milliseconds. */
  const times = (machine: Ps2Machine, ms: number): number[] => {
    const found: number[] = []
    for (let t = 0; t < ms; t++) {
      machine.machine.advance(MS)
      if ((machine.machine.in(0x64) & 1) !== 0 && machine.machine.in(0x60) === 0x1c) found.push(t)
    }
    return found
  }

  test.each([
    { rate: 0x2b, delay: 500, period: 91.7 },
    { rate: 0x00, delay: 250, period: 33.4 },
    { rate: 0x7f, delay: 1000, period: 500.4 },
  ])('rate $rate: after $delay ms, then every $period ms', ({ rate, delay, period }) => {
    const machine = new Ps2Machine()
    machine.keyboard(0xf3, rate)
    machine.press(A)
    const [first = 0, second = 0, third = 0] = times(machine, 2200)
    expect(second - first).toBeGreaterThanOrEqual(delay - 2)
    expect(second - first).toBeLessThanOrEqual(delay + 2)
    expect(third - second).toBeCloseTo(period, -0.5)
  })

  test('the last key repeats, until it is released', () => {
    const machine = new Ps2Machine()
    machine.press(0x05, A)
    expect(times(machine, 700).length).toBe(4)
    machine.release(A)
    expect(hexBytes(machine.read())).toBe('F0 1C')
    expect(times(machine, 700)).toEqual([])
  })

  test('of a key that nobody reads, one waits behind the first code', () => {
    const machine = new Ps2Machine()
    machine.press(A)
    machine.machine.advance(5000 * MS)
    expect(hexBytes(machine.read())).toBe('1C 1C')
  })

  test('a host that was away for a year makes up for no repeats', () => {
    const machine = new Ps2Machine()
    machine.press(A)
    machine.read()
    machine.machine.leap(365 * 86_400_000 * MS)
    expect(hexBytes(machine.read())).toBe('1C')
  })
})

describe('the queue', () => {
  test('a byte takes 880 µs, and the next one starts when it is read', () => {
    const machine = new Ps2Machine()
    const { machine: board } = machine
    machine.press(A)
    machine.release(A)
    board.advance(BYTE_NS - 1)
    expect(board.in(0x64) & 1).toBe(0)
    board.advance(1)
    expect([board.in(0x64) & 0x21, board.line(1).edges]).toEqual([1, 1])
    board.advance(100 * MS)
    expect([board.in(0x60), board.line(1).edges]).toEqual([0x1c, 1])
    board.advance(BYTE_NS)
    expect([board.in(0x60), board.line(1).edges]).toEqual([0xf0, 2])
  })

  test('the back end waits while the guest reads nothing, and no key is lost', () => {
    const machine = new Ps2Machine()
    for (let i = 0; i < 20; i++) {
      machine.press(A)
      machine.release(A)
    }
    expect(machine.keys.waiting.length).toBeGreaterThan(30)
    expect(hexBytes(machine.read())).toBe(Array.from({ length: 20 }, () => '1C F0 1C').join(' '))
    expect(machine.keys.waiting.length).toBe(0)
  })

  test.each([
    { set: 2, code: 0x00 },
    { set: 1, code: 0xff },
  ])('where codes are lost, the seventeenth is $code in set $set', ({ set, code }) => {
    const machine = new Ps2Machine({ whenFull: 'overrun' })
    machine.keyboard(0xf0, set)
    for (let usage = A; usage < A + 20; usage++) machine.press(usage)
    const bytes = machine.read()
    expect([bytes.length, bytes.at(-1)]).toEqual([17, code])
  })

  test('while its clock is stopped the keyboard keeps its codes', () => {
    const machine = new Ps2Machine()
    machine.controller(0xad)
    machine.press(A)
    expect(machine.read()).toEqual([])
    machine.controller(0xae)
    expect(hexBytes(machine.read())).toBe('1C')
  })

  test('an answer of the controller does not lose a code that is not read yet', () => {
    const machine = new Ps2Machine()
    machine.press(A)
    machine.machine.advance(BYTE_NS)
    machine.controller(0x20)
    expect([machine.machine.in(0x60), machine.machine.in(0x60)]).toEqual([0x03, 0x1c])
  })

  test('no key is taken between quiesce and resume', () => {
    const machine = new Ps2Machine()
    machine.i8042.quiesce()
    machine.press(A)
    expect(machine.read()).toEqual([])
    machine.i8042.resume()
    expect(hexBytes(machine.read())).toBe('1C')
  })
})

test('whatever is typed, and however slowly it is read, the codes say the same keys in the same order', () => {
  // Keys that others do not change, and a code that says which: bit 8 for those behind the prefix 0xE0.
  const codes = new Map([
    [0x04, 0x1c],
    [0x29, 0x76],
    [0x40, 0x83],
    [0x45, 0x07],
    [0x58, 0x15a],
    [0x65, 0x12f],
    [0xe1, 0x12],
    [0xe4, 0x114],
  ])
  const usages = [...codes.keys()]
  fc.assert(
    fc.property(
      fc.array(fc.record({ key: fc.nat(usages.length - 1), reads: fc.nat(9), command: fc.nat(9) }), {
        maxLength: 60,
        size: 'max',
      }),
      (steps) => {
        const machine = new Ps2Machine()
        const down = new Set<number>()
        const expected: string[] = []
        const bytes: number[] = []
        for (const { key, reads, command } of steps) {
          const usage = usages[key]!
          const press = !down.has(usage)
          if (press) down.add(usage)
          else down.delete(usage)
          machine.keys.key(usage, press)
          expected.push(`${press ? '+' : '-'}${codes.get(usage)!.toString(16)}`)
          if (command === 0) machine.machine.out(0x60, 0xee)
          bytes.push(...machine.read(reads))
        }
        bytes.push(...machine.read(1000))
        const found: string[] = []
        let extended = 0
        let sign = '+'
        for (const byte of bytes) {
          if (byte === 0xee) continue
          if (byte === 0xe0) extended = 0x100
          else if (byte === 0xf0) sign = '-'
          else {
            found.push(`${sign}${(extended | byte).toString(16)}`)
            extended = 0
            sign = '+'
          }
        }
        expect(found).toEqual(expected)
      },
    ),
    { numRuns: 200 },
  )
})
