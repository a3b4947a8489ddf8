import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { EscapeFilter } from '../../src/machine/session/escape-filter.ts'
import { SerialInput, type InputPolicy } from '../../src/machine/session/serial-input.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (data: Uint8Array): string => new TextDecoder().decode(data)

describe('the escape keys', () => {
  test.each([
    { typed: 'ls\n', guest: 'ls\n' },
    { typed: '\u0003', guest: '\u0003' },
    { typed: '\u0001\u0001', guest: '\u0001' },
    { typed: 'a\u0001xb', guest: 'a', asked: ['leave'] },
    { typed: 'a\u0001hb', guest: 'ab', asked: ['help'] },
    { typed: 'a\u0001pb', guest: 'ab', asked: ['power'] },
    { typed: 'a\u0001sb', guest: 'ab', asked: ['save'] },
    { typed: '\u0001q', guest: 'q' },
    { typed: '\u0001', guest: '' },
  ])('$typed', ({ typed, guest, asked = [] }) => {
    const result = new EscapeFilter().push(bytes(typed))
    const shown = { ...result, forGuest: text(result.forGuest), echo: text(result.echo) }
    expect(shown).toEqual({ forGuest: guest, asked: new Set(asked), echo: '', commands: [] })
  })

  test('Ctrl-A d restarts a guest with a keyboard, and is a d for one with a serial line', () => {
    const [keyboard, line] = [new EscapeFilter(true), new EscapeFilter()].map((filter) => filter.push(bytes('\u0001d')))
    expect([[...keyboard!.asked], text(keyboard!.forGuest)]).toEqual([['restart'], ''])
    expect([[...line!.asked], text(line!.forGuest)]).toEqual([[], 'd'])
  })

  test.each([
    { typed: 'eject cd0\r', echo: 'eject cd0\r\n', commands: ['eject cd0'], guest: '' },
    { typed: 'ejt\u007fect\nls', echo: 'ejt\b \bect\r\n', commands: ['eject'], guest: 'ls' },
    { typed: 'é\u007f\u007f\u007fa\r', echo: 'é\b \ba\r\n', commands: ['a'], guest: '' },
    { typed: '\u0007\tx\r', echo: 'x\r\n', commands: ['x'], guest: '' },
    { typed: 'eject\u0003ls', echo: 'eject\r\n', commands: [null], guest: 'ls' },
    { typed: 'eject\u0001\u0001', echo: 'eject', commands: [null], guest: '\u0001' },
  ])('Ctrl-A c takes a line that the guest does not get: $typed', ({ typed, echo, commands, guest }) => {
    const result = new EscapeFilter().push(bytes(`\u0001c${typed}`))
    expect({ ...result, forGuest: text(result.forGuest), echo: text(result.echo) }).toMatchObject({
      asked: new Set(['prompt']),
      echo,
      commands,
      forGuest: guest,
    })
  })

  test('a line of a command has an end', () => {
    const { commands } = new EscapeFilter().push(bytes(`\u0001c${'x'.repeat(10_000)}\r`))
    expect(commands[0]).toHaveLength(4096)
  })

  test('Ctrl-A x leaves while a command is typed', () => {
    expect(new EscapeFilter().push(bytes('\u0001ceject\u0001x')).asked).toContain('leave')
  })

  test('mean the same wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ max: 0x7f, maxLength: 40, size: 'max' }), fc.nat(40), (data, cut) => {
        const whole = new EscapeFilter().push(data)
        const filter = new EscapeFilter()
        const first = filter.push(data.subarray(0, cut))
        const hasLeft = first.asked.has('leave')
        const second = hasLeft ? { forGuest: new Uint8Array(), asked: first.asked } : filter.push(data.subarray(cut))
        expect(second.asked.has('leave')).toBe(whole.asked.has('leave'))
        expect([...first.forGuest, ...second.forGuest]).toEqual([...whole.forGuest])
      }),
    )
  })
})

describe('the way to the guest', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const connect = (policy: InputPolicy, interactive = false) => {
    const sent: string[] = []
    const takes = { all: true }
    const events: string[] = []
    const input = new SerialInput({
      policy,
      interactive,
      send: (data) => {
        sent.push(text(data))
        return takes.all
      },
      onLeave: () => events.push('leave'),
      onPower: () => events.push('power'),
      onSave: () => events.push('save'),
      onHelp: () => events.push('help'),
      onRoom: () => events.push('room'),
    })
    return { input, sent, events, takes }
  }
  const shell: InputPolicy = { kind: 'shell', prompt: /\/\S* # $/ }
  // As busybox prints it: it asks the terminal where the cursor is.
  const PROMPT = '/ # \u001b[6n'

  test('passes bytes as they come, and keeps quiet about their end', () => {
    const { input, sent } = connect({ kind: 'pass' })
    input.typed(bytes('a'))
    input.typed(bytes('b\n'))
    input.ended()
    expect(sent).toEqual(['a', 'b\n'])
  })

  test('makes Ctrl-D of an empty input, at the prompt and not before', () => {
    const { input, sent } = connect(shell)
    input.ended()
    expect(sent).toEqual([])
    input.transmitted(bytes(PROMPT))
    expect(sent).toEqual(['\u0004'])
  })

  test('types the lines of a pipe one by one, each at a prompt, then Ctrl-D', () => {
    const { input, sent } = connect(shell)
    input.typed(bytes('uname\ntrue'))
    input.ended()
    expect(sent).toEqual([])
    input.transmitted(bytes(`[    1.246979] Run /init as init process\r\n\r\n${PROMPT}`))
    expect(sent).toEqual(['uname\n'])
    input.transmitted(bytes(`uname\r\nLinux\r\n`))
    expect(sent).toHaveLength(1)
    input.transmitted(bytes(PROMPT))
    expect(sent).toEqual(['uname\n', 'true\n'])
    input.transmitted(bytes(`true\r\n${PROMPT}`))
    expect(sent).toEqual(['uname\n', 'true\n', '\u0004'])
  })

  test('sees the prompt behind a message of the kernel', () => {
    const { input, sent } = connect(shell)
    input.typed(bytes('x\n'))
    input.transmitted(bytes(`${PROMPT}[    1.898734] tsc: Refined`))
    expect(sent).toEqual([])
    input.transmitted(bytes(' clocksource\r\n'))
    expect(sent).toEqual(['x\n'])
  })

  test('feeds a program that reads without a prompt once it is quiet, but no Ctrl-D', () => {
    const { input, sent } = connect(shell)
    input.typed(bytes('cat\nhello\n'))
    input.ended()
    input.transmitted(bytes(PROMPT))
    expect(sent).toEqual(['cat\n'])
    vi.advanceTimersByTime(900)
    input.transmitted(bytes('cat\r\n'))
    vi.advanceTimersByTime(900)
    expect(sent).toEqual(['cat\n'])
    vi.advanceTimersByTime(200)
    expect(sent).toEqual(['cat\n', 'hello\n'])
    vi.advanceTimersByTime(60_000)
    expect(sent).toHaveLength(2)
  })

  test('keeps what a person types until there is a shell, then passes every key', () => {
    const { input, sent } = connect(shell, true)
    input.typed(bytes('ea'))
    input.transmitted(bytes('Linux version 6.1\r\n'))
    expect(sent).toEqual([])
    input.transmitted(bytes(PROMPT))
    input.typed(bytes('r'))
    expect(sent).toEqual(['ea', 'r'])
  })

  test('asks a pipe to wait while the guest takes nothing', () => {
    const { input, sent, events, takes } = connect({ kind: 'pass' })
    takes.all = false
    input.typed(bytes('a'))
    expect(input.isFull).toBe(true)
    takes.all = true
    input.drained()
    expect([input.isFull, events, sent]).toEqual([false, ['room'], ['a']])
  })

  test('loses keys of a person whose guest takes nothing, but for those that leave it', () => {
    const { input, sent, events, takes } = connect({ kind: 'pass' }, true)
    takes.all = false
    input.typed(bytes('a'))
    input.typed(bytes('b'))
    expect(input.isFull).toBe(false)
    input.typed(bytes('\u0001x'))
    expect([sent, events]).toEqual([['a'], ['leave']])
    input.drained()
    input.typed(bytes('c'))
    expect(sent).toEqual(['a', 'c'])
  })

  test('asks a pipe to wait when much is queued, and calls it when there is room', () => {
    const { input, sent, events } = connect(shell)
    input.typed(new Uint8Array(65_535).fill(0x61))
    expect(input.isFull).toBe(false)
    input.typed(bytes('a'))
    expect(input.isFull).toBe(true)
    input.transmitted(bytes(PROMPT))
    // A line without an end goes in pieces that a terminal can take.
    expect(sent.map(({ length }) => length)).toEqual([4096])
    expect(events).toEqual(['room'])
    input.transmitted(bytes(PROMPT))
    expect(sent).toHaveLength(2)
    expect(events).toEqual(['room'])
  })

  test('types a script in place of the user, whose escape keys still work', () => {
    const { input, sent, events } = connect({ kind: 'script', prompt: /\/\S* # $/, lines: ['uname', 'poweroff -f'] })
    input.typed(bytes('ignored\n'))
    input.ended()
    input.transmitted(bytes(PROMPT))
    input.transmitted(bytes('cd /tmp; uname\r\nLinux\r\n/tmp # \u001b[6n'))
    expect(sent).toEqual(['uname\n', 'poweroff -f\n'])
    input.typed(bytes('\u0001h\u0001s\u0001x'))
    expect(events).toEqual(['help', 'save', 'leave'])
  })
})
