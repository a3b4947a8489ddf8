/** The small parts of the command line, each by itself: no machine is made. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { placeIn } from '@retrap/machine/debug'
import { multibootHeader } from '@retrap/tooling/images'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { exploreByFleet } from '../src/commands/cluster/explore-by-fleet.ts'
import { CliError } from '@retrap/linux-guest/errors'
import { explainError, withoutPasswords } from '../src/errors.ts'
import { Properties, didYouMean, parseAddress, parseDevice, parseModule, parseWhole } from '../src/options/values.ts'
import { type ImageFlags, readImages } from '../src/flags/images.ts'
import { PanicWatch } from '../src/machine/session/session-terminal.ts'
import { printLines, printText } from '../src/print-lines.ts'
import { PromptLine } from '../src/machine/session/escape-filter.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('properties of a device', () => {
  const of = (text: string): Properties => new Properties(parseDevice(text))

  test.each([
    { given: 'x', most: 10, least: 3, is: 7 },
    { given: 'x,n=3', most: 10, least: 3, is: 3 },
    { given: 'x,n=10', most: 10, least: 3, is: 10 },
    { given: 'x,n=0xA', most: 10, least: 3, is: 10 },
    { given: 'x,n=0', most: 10, least: 0, is: 0 },
    { given: 'x,n=2', most: 10, least: 3, is: 'n=2 is not a number from 3 to 10' },
    { given: 'x,n=11', most: 10, least: 3, is: 'n=11 is not a number from 3 to 10' },
    { given: 'x,n=11', most: 10, least: 0, is: 'n=11 is not a number from 0 to 10' },
    { given: 'x,n=ten', most: 9999, least: 0, is: 'n=ten is not a number from 0 to 9999' },
    { given: 'x,n=', most: 10_000, least: 0, is: 'n= is not a number from 0 to 0x2710' },
    { given: 'x,n=0', most: 0xffff, least: 0x10, is: 'n=0 is not a number from 0x10 to 0xffff' },
  ])('$given, from $least to $most: $is', ({ given, most, least, is }) => {
    const read = (): number => of(given).whole('n', 7, most, least)
    if (typeof is === 'number') expect(read()).toBe(is)
    else expect(read).toThrow(`--device x: ${is}`)
  })

  test('the least is 0 where none is said', () => expect(of('x,n=0').whole('n', 7, 10)).toBe(0))

  test('texts and switches', () => {
    expect([of('x,a=b').text('a', 'c'), of('x,a=').text('a', 'c'), of('x').text('a', 'c')]).toEqual(['b', '', 'c'])
    expect(['x,a=on', 'x,a=off', 'x'].map((given) => of(given).flag('a'))).toEqual([true, false, undefined])
    expect(() => of('x,a=yes').flag('a')).toThrow('--device x: a=yes is not on or off')
  })

  test('a property that there is not', () => {
    expect(() => of('x,id=a,bus=b').check(['bus', 'id'])).not.toThrow()
    expect(() => of('x,id=a,buss=b').check(['bus', 'id'])).toThrow(
      "--device x has no 'buss'; it has bus, id; did you mean 'bus'?",
    )
  })

  test.each(['', '=', 'a=b'])("'%s' names no device", (text) =>
    expect(() => parseDevice(text)).toThrow('names no device'),
  )
  test.each(['x,y', 'x,=y', 'x,'])("'%s' has a pair that is none", (text) =>
    expect(() => parseDevice(text)).toThrow('is not of the form key=value'),
  )
})

test.each([
  ['memry', ['memory', 'display'], 'memory'],
  ['MEMORY', ['memory'], 'memory'],
  ['mmeory', ['memory'], 'memory'],
  ['emoryx', ['memory'], 'memory'],
  ['cpu', ['gpu', 'cpus'], 'gpu'],
  ['cpsu', ['gpu', 'cpus'], 'cpus'],
  // Neighbours that have changed places are one edit.
  ['ba', ['ab'], 'ab'],
  ['acb', ['abc'], 'abc'],
  ['badc', ['abcd'], ''],
  ['ab', ['cd'], ''],
  ['ab', ['ax'], 'ax'],
  ['abc', ['xyc'], ''],
  ['abcdef', ['abcdxy'], 'abcdxy'],
  ['abcdef', ['abcxyz'], ''],
  ['abcdefghi', ['abcdefxyz'], 'abcdefxyz'],
  ['', ['a'], 'a'],
  ['', ['ab'], ''],
  ['x', [], ''],
] as const)("%s of %j is most like '%s'", (wrong, names, found) =>
  expect(didYouMean(wrong, names)).toBe(found === '' ? '' : `; did you mean '${found}'?`),
)

describe('numbers and texts', () => {
  test.each([
    ['0', 0],
    ['0x10', 16],
    ['0XfF', 255],
    [' 7 ', 7],
    ['007', 7],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['0x', undefined],
    ['10h', undefined],
    ['f', undefined],
  ])("'%s' is %s", (text, value) => expect(parseWhole(text)).toBe(value))

  test('addresses have 64 bits', () => {
    const parse = parseAddress('--at')
    expect([parse('0'), parse('0xffffffffffffffff'), parse('12')]).toEqual([0n, 2n ** 64n - 1n, 12n])
    for (const text of ['0x10000000000000000', '-1', '', 'x', '18446744073709551616'])
      expect(() => parse(text)).toThrow(`--at '${text}' is not an address; write it as 0x401000 or 4198400`)
  })

  test('an instant of a recording is a number of instructions, a time, or a name', () => {
    const mark = { name: 'here', round: 7, instructions: 50 }
    const recording = { begin: 10, end: 2 ** 53 - 1, endNs: 4e9, marks: [mark] }
    const placeOf = (text: string): unknown => placeIn(recording, text)
    expect(['0', '9007199254740991', 'begin', 'end', 'here'].map(placeOf)).toEqual([
      0,
      2 ** 53 - 1,
      10,
      2 ** 53 - 1,
      mark,
    ])
    const times = ['0ns', '1500ns', '2.5us', '0.000001ms', '3s'].map(placeOf)
    expect(times).toEqual([0, 1500, 2500, 1, 3e9].map((ns) => ({ ns })))
    for (const text of ['9007199254740992', '-1', '1e3', '', '0x10', 'ns', '1m', '-1ns', '1.ns', '9007199254740992ns'])
      expect(() => placeOf(text)).toThrow(
        `${text}: write an instruction from 10 to 9007199254740991, a time such as 1500ns`,
      )
    expect(() => placeOf('5s')).toThrow(
      '5s: the recording ends before, at instruction 9007199254740991, at 4000000000 ns',
    )
    expect(() => placeIn({ ...recording, end: 99, endNs: undefined }, '100')).toThrow(
      '100: the recording ends before, at instruction 99',
    )
  })

  // As `qemu-system-x86_64 -kernel FILE -append 'one two' -initrd 'FILE three'` of QEMU 7.2 hands them over; PVH's is the text alone.
  test('a multiboot kernel finds the names of files before its texts, another kernel does not', async () => {
    const folder = temporaryFolder('names')
    const [kernel = '', other = ''] = [multibootHeader(0), new Uint8Array(64)].map((image, i) => {
      const path = join(folder, `${i}`)
      writeFileSync(path, image)
      return path
    })
    const module = [parseModule(`${other} three`)]
    const texts = async (flags: ImageFlags): Promise<unknown> => {
      const { commandLine, initrd, modules = [] } = await readImages(flags)
      return [commandLine, initrd?.length, ...modules.map((each) => each.commandLine)]
    }
    const found = [
      await texts({ kernel, append: 'one two', module }),
      await texts({ kernel, initrd: other }),
      await texts({ kernel: other, append: 'one two', initrd: other, module }),
    ]
    expect(found).toEqual([
      [`${kernel} one two`, undefined, `${other} three`],
      [`${kernel} `, undefined, other],
      ['one two', 64, 'three'],
    ])
  })

  test('modules have a text behind the first space', () => {
    expect(parseModule(' file  one two ')).toEqual({ path: 'file', commandLine: 'one two' })
    expect(parseModule('file')).toEqual({ path: 'file', commandLine: '' })
    expect(() => parseModule(' ')).toThrow('names no file')
  })
})

describe('errors that are the user’s to mend', () => {
  const coded = (name: string, code: string): Error => Object.assign(new Error('why'), { name, code })

  test.each([
    { error: new CliError('ERR_USAGE', 'why'), code: 2 },
    { error: new CliError('ERR_INPUT', 'why'), code: 74 },
    { error: coded('MachineError', 'ERR_OPTION'), code: 2 },
    { error: coded('MachineError', 'ERR_OPTION_ROM'), code: 74 },
    { error: coded('DeviceError', 'ERR_OPTION'), code: 2 },
    { error: coded('MemoryError', 'ERR_RANGE'), code: 2 },
    { error: coded('IoreqError', 'ERR_LISTEN'), code: 74 },
    { error: coded('NetworkError', 'ERR_OPEN'), code: 74 },
    { error: coded('NetworkError', 'ERR_OPTION'), code: 2 },
    { error: coded('LoaderError', 'ERR_FORMAT'), code: 74 },
    { error: coded('ImageError', 'ERR_FORMAT'), code: 74 },
    { error: coded('RecordingError', 'ERR_FORMAT'), code: 74 },
    { error: coded('MigrationError', 'ERR_DOWNTIME'), code: 74 },
  ])('$error.name $error.code: $code', ({ error, code }) =>
    expect(explainError(error)).toEqual({ message: 'why', code }),
  )

  test.each([
    coded('TypeError', 'ERR_INVALID_ARG_TYPE'),
    coded('MachineError', 'ENOENT'),
    coded('MachineError', 'XERR_OPTION'),
    new Error('why'),
    'why',
    undefined,
  ])('others are ours', (error) => expect(explainError(error)).toBeUndefined())

  test('no password is quoted', () => {
    const text = 'http://me:secret@host/a@b, HTTPS://a@b@c?x@y and https://host/p'
    expect(withoutPasswords(text)).toBe('http://host/a@b, HTTPS://c?x@y and https://host/p')
    expect(explainError(new CliError('ERR_INPUT', text))?.message).toBe(withoutPasswords(text))
    expect(explainError(Object.assign(new Error(text), { name: 'ImageError', code: 'ERR_X' }))?.message).not.toContain(
      'secret',
    )
  })
})

describe('a kernel that panics', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  const watch = () => {
    const told: string[] = []
    return { told, watch: new PanicWatch((reason) => void told.push(reason)) }
  }

  test('is told of once, when its report ends, whatever the pieces', () => {
    const { told, watch: panic } = watch()
    const text = 'fine\r\nKernel panic - not syncing: No init found.\r\nCall Trace:\r\n'
    for (const byte of bytes(text)) panic.transmitted(Uint8Array.of(byte))
    expect(told).toEqual([])
    panic.transmitted(bytes('---[ end Kernel panic - not syncing: No init found. ]---\r\n'))
    expect(told).toEqual(['No init found.'])
    panic.transmitted(bytes('Kernel panic - not syncing: again\n---[ end Kernel panic'))
    vi.advanceTimersByTime(10_000)
    expect(told).toEqual(['No init found.'])
  })

  test('is told of after a second where the report has no end', () => {
    const { told, watch: panic } = watch()
    panic.transmitted(bytes('Kernel panic - not syncing: a'))
    vi.advanceTimersByTime(5000)
    expect(told).toEqual([])
    panic.transmitted(bytes('bc\n'))
    vi.advanceTimersByTime(999)
    expect(told).toEqual([])
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['abc'])
  })

  test('is told of no more after the end', () => {
    const { told, watch: panic } = watch()
    panic.transmitted(bytes('Kernel panic - not syncing: abc\n'))
    panic.stop()
    vi.advanceTimersByTime(5000)
    expect(told).toEqual([])
  })
})

describe('a line that the user types for us', () => {
  const type = (text: string) => {
    const line = new PromptLine()
    const shown: number[] = []
    let end: string | null | undefined
    for (const byte of bytes(text)) {
      const typed = line.push(byte)
      shown.push(...typed.echo)
      if ('line' in typed) end = typed.line
    }
    return { shown: new TextDecoder().decode(Uint8Array.from(shown)), end }
  }

  test.each([
    ['ab\r', 'ab\r\n', 'ab'],
    ['ab\n', 'ab\r\n', 'ab'],
    ['ab', 'ab', undefined],
    ['ab\u0003', 'ab\r\n', null],
    ['ab\u0004', 'ab\r\n', null],
    ['ab\u001b', 'ab\r\n', null],
    ['ab\u007fc\r', 'ab\b \bc\r\n', 'ac'],
    ['ab\bc\r', 'ab\b \bc\r\n', 'ac'],
    ['a€\u007fc\r', 'a€\b \bc\r\n', 'ac'],
    ['ä\u007f\u007f\u007fc\r', 'ä\b \bc\r\n', 'c'],
    ['a\u0001\u0007\u001fb\r', 'ab\r\n', 'ab'],
    ['a b\r', 'a b\r\n', 'a b'],
  ])('%j shows %j: %j', (text, shown, end) => expect(type(text)).toEqual({ shown, end }))

  test('4096 bytes fit', () => {
    expect(type(`${'x'.repeat(4100)}\r`).end).toHaveLength(4096)
    expect(type(`${'x'.repeat(4100)}\u007fy\r`).end).toBe(`${'x'.repeat(4095)}y`)
  })
})

describe('listings', () => {
  /** A reader that takes a piece at a time, and has an error after some. */
  class Reader {
    readonly pieces: (string | Uint8Array)[] = []
    waits = 0
    #error: (error: Error) => void = () => {}
    readonly #most: number
    readonly #failure: Error
    constructor(most = Infinity, failure: Error = Object.assign(new Error('gone'), { code: 'EPIPE' })) {
      this.#most = most
      this.#failure = failure
    }
    write(piece: string | Uint8Array): boolean {
      this.pieces.push(piece)
      if (this.pieces.length >= this.#most) queueMicrotask(() => this.#error(this.#failure))
      return false
    }
    on(_: 'error', listener: (error: Error) => void): void {
      this.#error = listener
    }
    once(_: 'drain', listener: () => void): void {
      this.waits++
      if (this.pieces.length < this.#most) queueMicrotask(listener)
    }
  }

  test('are written in pieces of 64 KiB or more, each when the last one has been taken', async () => {
    const reader = new Reader()
    await printLines(
      Array.from({ length: 3000 }, () => 'x'.repeat(63)),
      reader,
    )
    expect(reader.pieces.map(({ length }) => length)).toEqual([1 << 16, 1 << 16, 3000 * 64 - (2 << 16)])
    expect(reader.waits).toBe(3)
  })

  test('of nothing are nothing', async () => {
    const reader = new Reader()
    await printLines([], reader)
    await printText(['', new Uint8Array(0)], reader)
    expect(reader.pieces).toEqual([])
  })

  test('end when the reader goes away', async () => {
    const reader = new Reader(2)
    await printText(['a', 'b', 'c'], reader)
    expect(reader.pieces).toEqual(['a', 'b'])
  })

  test('that cannot be written are an error', async () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' })
    await expect(printText(['a', 'b'], new Reader(1, full))).rejects.toThrow('cannot write the output: no space')
    await expect(printText(['a', 'b'], new Reader(1, new Error('odd')))).rejects.toThrow('odd')
  })
})

test('a search by a fleet that is killed is an error', async () => {
  const program = join(temporaryFolder('fleet'), 'fleet.mjs')
  writeFileSync(program, 'process.kill(process.pid, 9)')
  vi.stubEnv('RETRAP_FLEET', program)
  const message = '--queue: retrap-fleet was ended by SIGKILL: what it has found is not known'
  await expect(exploreByFleet('a.json', { seed: 1 } as never)).rejects.toMatchObject({ code: 'ERR_INPUT', message })
  vi.unstubAllEnvs()
})
