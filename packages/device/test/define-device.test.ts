// What a definition in plain data becomes: ranges, handlers with their defaults, and the members of a model.
import { describe, expect, test } from 'vitest'
import { defineDevice, type DeviceContext, DeviceError, type RangeHandler } from '../src/index.ts'

/** A definition's ranges as the context gets them. */
function attached(definition: Parameters<typeof defineDevice>[0]) {
  const ranges: { space: string; base: number; size: number; handler: RangeHandler; options: unknown }[] = []
  const map =
    (space: string) =>
    (base: number, size: number, handler: RangeHandler, options: unknown): void =>
      void ranges.push({ space, base, size, handler, options })
  const context = { mapPorts: map('ports'), mapMmio: map('mmio') } as unknown as DeviceContext
  defineDevice(definition).attach(context)
  return { ranges, context }
}

describe('the ranges of a definition', () => {
  test.each([
    ['none', {}, []],
    ['one of ports', { ports: { base: 0x10, size: 4 } }, ['ports 16+4']],
    ['one of memory', { mmio: { base: 0xfed0_0000, size: 0x1000 } }, ['mmio 4275044352+4096']],
    [
      'several of both, ports first',
      {
        mmio: [{ base: 0x1000, size: 1 }],
        ports: [
          { base: 1, size: 1 },
          { base: 3, size: 2 },
        ],
      },
      ['ports 1+1', 'ports 3+2', 'mmio 4096+1'],
    ],
  ])('%s', (_, members, expected) => {
    const { ranges } = attached({ name: 'x', ...members })
    expect(ranges.map(({ space, base, size }) => `${space} ${base}+${size}`)).toEqual(expected)
  })

  test('are mapped with what else they say, before the model attaches by itself', () => {
    const order: string[] = []
    const range = { base: 0, size: 8, maximumAccess: 8 as const, read64: () => {}, write64: () => {} }
    const context = {
      mapPorts: () => void order.push('ports'),
      mapMmio: (_base: number, _size: number, _handler: RangeHandler, options: unknown) => {
        order.push('mmio')
        expect(options).toBe(range)
      },
    } as unknown as DeviceContext
    const given: unknown[] = []
    defineDevice({
      name: 'x',
      ports: { base: 1, size: 1 },
      mmio: range,
      attach: (own) => {
        given.push(own)
        order.push('attach')
      },
    }).attach(context)
    expect(order).toEqual(['ports', 'mmio', 'attach'])
    expect(given).toEqual([context])
  })
})

describe('the handler of a range', () => {
  test('reads ones and drops writes where the definition has neither, and has no accesses of 64 bits', () => {
    const { handler } = attached({ name: 'x', ports: { base: 1, size: 1 } }).ranges[0]!
    expect(handler.read(0, 4)).toBe(0xffff_ffff)
    expect(handler.write(0, 4, 1)).toBe(undefined)
    expect(Object.keys(handler).sort()).toEqual(['read', 'write'])
  })

  test('has the functions of its range, and else those of the definition, each with its object', () => {
    const calls: string[] = []
    const definition = {
      name: 'definition',
      read(offset: number, size: number): number {
        calls.push(`${this.name} reads ${size} at ${offset}`)
        return 1
      },
      write(offset: number, size: number, value: number): void {
        calls.push(`${this.name} writes ${value} of ${size} at ${offset}`)
      },
      read64(): void {
        calls.push(`${this.name} reads 64`)
      },
      write64(): void {
        calls.push(`${this.name} writes 64`)
      },
      ports: [
        { base: 1, size: 1 },
        {
          base: 2,
          size: 1,
          name: 'range',
          read(): number {
            calls.push(`${this.name} reads`)
            return 2
          },
          write(): void {
            calls.push(`${this.name} writes`)
          },
          read64(): void {
            calls.push(`${this.name} reads 64`)
          },
          write64(): void {
            calls.push(`${this.name} writes 64`)
          },
        },
      ],
    }
    const [plain, own] = attached(definition).ranges.map(({ handler }) => handler)
    for (const handler of [plain!, own!]) {
      calls.push(`${handler.read(3, 2) as number}`)
      void handler.write(4, 1, 9)
      void handler.read64!(0, [0, 0] as never)
      void handler.write64!(0, 1, 2)
    }
    expect(calls).toEqual([
      ...[
        'definition reads 2 at 3',
        '1',
        'definition writes 9 of 1 at 4',
        'definition reads 64',
        'definition writes 64',
      ],
      ...['range reads', '2', 'range writes', 'range reads 64', 'range writes 64'],
    ])
  })
})

describe('the members of a model', () => {
  test('are those of the definition alone', () => {
    expect(Object.keys(defineDevice({ name: 'x' })).sort()).toEqual(['attach', 'name', 'synchronous'])
    expect(defineDevice({ name: 'x' }).synchronous).toBe(false)
    expect(defineDevice({ name: 'x', synchronous: true }).synchronous).toBe(true)
    expect(defineDevice({ name: 'x', stateless: true }).stateless).toBe(true)
    expect(defineDevice({ name: 'x', stateless: false }).stateless).toBe(false)
  })

  test('are called on the definition, with what they are given', () => {
    const calls: unknown[] = []
    const definition = {
      name: 'x',
      timeOffset(seconds: number): void {
        calls.push(this.name, 'timeOffset', seconds)
      },
      invalidate(frames: unknown): void {
        calls.push(this.name, 'invalidate', frames)
      },
      reset(): void {
        calls.push(this.name, 'reset')
      },
      quiesce(deadlineMs: number): void {
        calls.push(this.name, 'quiesce', deadlineMs)
      },
      resume(): void {
        calls.push(this.name, 'resume')
      },
      save(): unknown {
        return [this.name, 'saved']
      },
      restore(state: unknown): void {
        calls.push(this.name, 'restore', state)
      },
    }
    const model = defineDevice(definition)
    model.timeOffset?.(5)
    void model.invalidate?.(null)
    void model.reset?.()
    void model.quiesce?.(100)
    void model.resume?.()
    expect(model.save?.()).toEqual(['x', 'saved'])
    void model.restore?.(7)
    expect(calls).toEqual([
      ...['x', 'timeOffset', 5, 'x', 'invalidate', null, 'x', 'reset'],
      ...['x', 'quiesce', 100, 'x', 'resume', 'x', 'restore', 7],
    ])
  })
})

describe('a definition that is refused', () => {
  const save = (): unknown => 1
  test.each<readonly [string, unknown, RegExp]>([
    ['no object', 5, /expected an object/],
    ['null', null, /expected an object/],
    ['no name', {}, /needs a name/],
    ['an empty name', { name: '' }, /needs a name/],
    ['a name of another type', { name: 5 }, /needs a name/],
    ...[
      ...['read', 'write', 'read64', 'write64', 'attach', 'timeOffset', 'invalidate'],
      ...['reset', 'quiesce', 'resume', 'save', 'restore'],
    ].map((member) => [`${member} that is no function`, { name: 'x', [member]: 5 }, /of x is of type number/] as const),
    ['save without restore', { name: 'x', save }, /only one of save and restore/],
    ['restore without save', { name: 'x', restore: () => {} }, /only one of save and restore/],
    [
      'state of a stateless model',
      { name: 'x', stateless: true, save, restore: () => {} },
      /is stateless and has save/,
    ],
  ])('%s', (_, definition, message) => {
    const make = (): unknown => defineDevice(definition as never)
    expect(make).toThrow(message)
    expect(make).toThrow(DeviceError)
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
  })
})
