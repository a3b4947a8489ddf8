import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { checkDevice, type DeviceCheckOptions, PARTS } from '../../src/commands/device-check/check.ts'
import { BROKEN_FRAMES } from '../../src/commands/device-check/parts/broken.ts'
import type { Rule } from '../../src/commands/device-check/report.ts'
import { RULES } from '../../src/commands/device-check/rules.ts'
import { type Frame, KIND, listen, type Quirks } from '../support/document-server.ts'

/** Programs are started, and sessions broken: a run has a part of it. */
const test = sliceTests(4)

const folder = temporaryFolder('device-check')

let sockets = 0

/** Checks a server of this process. @returns the report's lines, and what failed */
async function check(quirks: Quirks, options: Partial<DeviceCheckOptions> = {}) {
  const path = join(folder, `${sockets++}.sock`)
  const server = await listen(path, quirks)
  try {
    return await report({ address: { path }, ...options })
  } finally {
    server.close()
  }
}

async function report(options: Omit<DeviceCheckOptions, 'print'>) {
  const lines: string[] = []
  const kept = await checkDevice({ ...options, print: (line) => lines.push(...line.split('\n')) })
  const failed = lines.filter((line) => line.startsWith('FAIL')).map((line) => line.slice(6))
  return { kept, lines, text: lines.join('\n'), failed }
}

test('each rule has a sentence of the document', () => {
  const plain = (text: string): string => text.replaceAll('’', "'").replaceAll(/\s+/g, ' ')
  const document = plain(
    readFileSync(new URL('../../../../packages/device-hosting/PROTOCOL.md', import.meta.url), 'utf8'),
  )
  const rules: readonly Rule[] = [...Object.values(RULES), ...BROKEN_FRAMES.rules]
  const missing = rules
    .map(({ sentence }) => plain(sentence))
    // Of a field: its frame, its name, and what its table says.
    .filter((sentence) => !document.includes(sentence.replace(/^`\w+`: `(\w+)`: (.*)$/, '$2')))
  expect(missing).toEqual([])
})

test('a server that was written by the document keeps to all of it', async () => {
  const { kept, lines, failed, text } = await check({})
  expect([kept, failed]).toEqual([true, []])
  expect(lines.filter((line) => line.startsWith('skip'))).toEqual([])
  expect(text).toContain('ok    it goes on where the machine refuses its transfers')
})

type Send = (frame: Frame) => void
/** A server: its fault, the broken rule, and the report of it. */
type Row = readonly [name: string, quirks: Quirks, rule: Rule, seen: string | RegExp]
const row = (name: string, rule: Rule, seen: string | RegExp, quirks: Quirks): Row => [name, quirks, rule, seen]
type Told = readonly [name: string, rule: Rule, seen: string | RegExp, kind: number]
/** A server that sends something else in place of one kind of frame. */
const instead = (...[name, rule, seen, kind, out]: [...Told, (frame: Frame, send: Send) => void]): Row =>
  row(name, rule, seen, { out: (frame, send) => (frame.kind === kind ? out(frame, send) : send(frame)) })
type Where = (frame: Frame) => boolean
/** A server that has another value in a field. */
const field = (
  ...[name, rule, seen, kind, at, value, where = () => true]: [...Told, number, Frame['fields'][number], Where?]
): Row =>
  instead(name, rule, seen, kind, (frame, send) =>
    send(where(frame) ? { kind, fields: frame.fields.with(at, value) } : frame),
  )
/** A server that does something else at a frame. */
const at = (...[name, rule, seen, kind, take]: [...Told, NonNullable<Quirks['take']>]): Row =>
  row(name, rule, seen, {
    take: (frame, next, server) => (frame.kind === kind ? take(frame, next, server) : next(frame)),
  })
const first = (id: number) => (frame: Frame) => frame.fields[0] === id

const NONE = new Uint8Array(0)
let saves = 0

const MUTANTS: readonly Row[] = [
  field('speaks version 4', RULES.welcome, 'welcome version 4', KIND.welcome, 0, 4),
  instead('has a device before welcome', RULES.welcome, /seen: +ready/, KIND.welcome, (_, send) =>
    send({ kind: KIND.ready, fields: [] }),
  ),
  field('says that a new session goes on', RULES.newSession, 'session 7', KIND.welcome, 2, 7),
  instead('drives a line before it is ready', RULES.before, 'setLine line 1, level 0', KIND.ready, (frame, send) => {
    send({ kind: KIND.setLine, fields: [1, 0] })
    send(frame)
  }),
  field('names what it declares later', RULES.declared, 'function 2 to be declared before', KIND.bar, 1, 2, first(1)),
  field(
    'gives two regions one number',
    RULES.numbers,
    'another number: there is a region 3 already',
    KIND.range,
    0,
    3,
    first(4),
  ),
  field('has a BAR of 100 bytes', RULES.limits, 'bytes: a power of two', KIND.bar, 4, 100, first(1)),
  field('has a BAR of 8 bytes', RULES.pci, 'BAR 0: size 8, expected a power of two from 16', KIND.bar, 4, 8, first(1)),
  field('has a BAR twice', RULES.pci, 'BAR 0: expected a free register', KIND.bar, 2, 0, first(2)),
  instead('declares a line late', RULES.later, 'line 9, device 1, irq 6', KIND.ready, (frame, send) => {
    send(frame)
    send({ kind: KIND.line, fields: [9, 1, 6] })
  }),
  instead('answers twice', RULES.once, /nothing: call \d+ had been answered/, KIND.answer, (frame, send) => {
    send(frame)
    send(frame)
  }),
  instead(
    'answers a call that there was not',
    RULES.once,
    'the number of a call that is open',
    KIND.answer,
    (frame, send) => {
      send(frame)
      send({ ...frame, fields: [999_999, 0] })
    },
  ),
  instead('answers read by done', RULES.right, /answer, as call \d+ is a read/, KIND.answer, ({ fields }, send) =>
    send({ kind: KIND.done, fields: [fields[0]!, '', NONE] }),
  ),
  at('answers buffered writes', RULES.once, 'answer call 0', KIND.write, (frame, next, server) => {
    next(frame)
    if (frame.numbers[0] === 0n) server.send(KIND.answer, 0, 0)
  }),
  row('does not count', RULES.counts, /count of at least \d+/, {
    bytes: (bytes) => (bytes.writeUInt16LE(0, 6), bytes),
  }),
  row('counts too far', RULES.counts, /a count from \d+ to \d+/, {
    bytes: (bytes) => (bytes.writeUInt16LE((bytes.readUInt16LE(6) + 9) & 0xffff, 6), bytes),
  }),
  row('forgets to fill text up', RULES.length, 'a length that is a multiple of 8', {
    bytes: (bytes) =>
      bytes.readUInt16LE(4) === KIND.device ? (bytes.writeUInt32LE(bytes.length - 3, 0), bytes.subarray(0, -3)) : bytes,
  }),
  row('fills text up with anything', RULES.padding, 'zeros behind text and bytes', {
    bytes: (bytes) => (bytes.readUInt16LE(4) === KIND.device ? bytes.fill(0x20, bytes.length - 2) : bytes),
  }),
  row('leaves a field out', RULES.layout, 'ends within value', {
    bytes: (bytes) =>
      bytes.readUInt16LE(4) === KIND.answer ? (bytes.writeUInt32LE(16, 0), bytes.subarray(0, 16)) : bytes,
  }),
  at('has a result of reset', RULES.result, 'no result', KIND.reset, (frame, _, server) =>
    server.send(KIND.done, frame.numbers[0]!, '', Buffer.from('x')),
  ),
  at('cannot be quiet', RULES.errors, 'error "not now"', KIND.quiesce, (frame, _, server) =>
    server.send(KIND.done, frame.numbers[0]!, 'not now', NONE),
  ),
  field('has a level of 2', RULES.limits, 'level: 0 or 1', KIND.setLine, 1, 2),
  field('has a vector that there is not', RULES.limits, 'vector: at most 0', KIND.interrupt, 1, 1),
  field('drives a line that there is not', RULES.declared, 'line 5 to be declared', KIND.setLine, 0, 5),
  field(
    'writes beyond its memory',
    RULES.transfers,
    'offsets within the 4096 bytes of memory 1',
    KIND.memoryWrite,
    2,
    4095,
  ),
  at('saves another state each time', RULES.saves, 'dma-copy saves 1 bytes', KIND.save, (frame, _, server) =>
    server.send(KIND.done, frame.numbers[0]!, '', Buffer.from([saves++ & 0xff])),
  ),
  at('keeps its registers at reset', RULES.reset, 'dma-copy saves 48 bytes', KIND.reset, (frame, _, server) =>
    server.send(KIND.done, frame.numbers[0]!, '', NONE),
  ),
  at('forgets its state at restore', RULES.restore, 'saves 48 bytes', KIND.restore, (frame, _, server) => {
    server.powerOn(Number(frame.numbers[1]))
    server.send(KIND.done, frame.numbers[0]!, '', NONE)
  }),
  row('leaves its timers off at restore', RULES.timersAgain, /seen: +.*: no timer\n/, withoutTimers()),
  at('works while it is quiet', RULES.quiet, 'dmaWrite call 0', KIND.quiesce, (frame, next, server) => {
    next(frame)
    server.send(KIND.dmaWrite, 0, 1, 0, Buffer.from('x'))
  }),
  at('says that a device has failed', RULES.faults, 'message "too hot"', KIND.timer, (frame, next, server) => {
    next(frame)
    server.transmit({ kind: 46, fields: [2, 'too hot'] })
  }),
  at(
    'closes at cancel',
    RULES.stays,
    'it closed the connection',
    KIND.cancel,
    (_, __, server) => void server.stream?.end(),
  ),
  instead('never acknowledges', RULES.ack, 'ack, when 64 have come', KIND.ack, () => {}),
  row('does not know its session again', RULES.goesOn, 'which was open a moment ago', { again: () => false }),
  row('does many things at once only', RULES.stream, 'which came in pieces', {
    chunk: (chunk, next) => (chunk.length < 8 ? undefined : next(chunk)),
  }),
  row('does not answer what was cancelled', RULES.cancel, 'and was cancelled', cancelling()),
  at(
    'arms a timer for the past again and again',
    RULES.past,
    'a later deadline, after 1000 that had passed',
    KIND.timer,
    (frame, next, server) => {
      server.transmit({ kind: KIND.armTimer, fields: [8, 1, 5] })
      if (frame.numbers[1] === 8n) server.send(KIND.done, frame.numbers[0]!, '', NONE)
      else next(frame)
    },
  ),
  at('never answers the timer', RULES.inTime, /no answer within 1 s to:\n.*timer call/, KIND.timer, () => {}),
  at(
    'waits for ever where its transfer is refused',
    RULES.inTime,
    /no answer within 1 s to:\n.*write call/,
    KIND.dmaDone,
    (frame, next) => {
      if (frame.numbers[1] === 1n) next(frame)
    },
  ),
  instead('is never ready', RULES.ready, 'no ready within 1 s', KIND.ready, () => {}),
  row('does not send again what was lost', RULES.lostAnswers, '3 of 3 calls had no answer', {
    again: (server) => ((server.unacked = []), true),
  }),
  row('hangs at a broken frame', BROKEN_FRAMES.rules[1]!, 'the connection is open after 1 s', { broken: () => {} }),
]

/** It arms nothing at `restore`. */
function withoutTimers(): Quirks {
  let isRestoring = false
  return {
    take(frame, next) {
      isRestoring = frame.kind === KIND.restore
      next(frame)
    },
    out(frame, send) {
      if (!isRestoring || frame.kind !== KIND.armTimer) send(frame)
    },
  }
}

/** It drops calls that are cancelled. */
function cancelling(): Quirks {
  let cancelled = -1n
  return {
    take(frame, next) {
      if (frame.kind === KIND.cancel) cancelled = frame.numbers[0]!
      // It looks for cancel before it answers.
      if (frame.kind === KIND.read) setImmediate(() => frame.numbers[0] !== cancelled && next(frame))
      else next(frame)
    },
  }
}

const SILENT_MS = 1000
/** Rules that are broken by silence: the less time, the sooner the test ends. */
const SILENT: ReadonlySet<Rule> = new Set<Rule>([
  RULES.inTime,
  RULES.counts,
  RULES.stream,
  RULES.cancel,
  RULES.ack,
  RULES.ready,
  RULES.lostAnswers,
  BROKEN_FRAMES.rules[1]!,
])

test.concurrent.each(MUTANTS)('a server that %s is told so', async (_, quirks, rule, seen) => {
  const parts = PARTS.filter((part) => part !== BROKEN_FRAMES || BROKEN_FRAMES.rules.includes(rule))
  const { kept, failed, text } = await check(quirks, { parts, ...(SILENT.has(rule) && { timeoutMs: SILENT_MS }) })
  expect(kept).toBe(false)
  expect(failed).toContain(rule.title)
  // One that does not go on with its session is judged by that alone.
  if (rule === RULES.goesOn) expect(failed).toEqual([rule.title])
  expect(text).toMatch(seen)
})

const SERVER = fileURLToPath(new URL('../support/document-server.ts', import.meta.url))

test.concurrent('a program is started for each session, and it is told how one ends that crashes', async () => {
  const { failed, text } = await report({
    address: { command: `"${process.execPath}" "${SERVER}" crash` },
    parts: [BROKEN_FRAMES],
  })
  expect(failed.length).toBeGreaterThan(0)
  expect(text).toContain('it was ended by SIGABRT, after')
})

test.concurrent('a program is looked at as a server that listens', async () => {
  const { failed, text } = await report({
    address: { command: `"${process.execPath}" "${SERVER}"` },
    parts: PARTS.filter((part) => part !== BROKEN_FRAMES),
  })
  expect(failed).toEqual([])
  expect(text).toContain('ok    it ends the session at bye (it ended with status 0)')
})

test.concurrent.each([
  ['ends at once', 'exec true', 'it ended with status 0'],
  ['does not exist', 'exec /nowhere/model', 'it cannot be started: the shell finds no such program'],
])('a program that %s is told of in one line', async (_, command, seen) => {
  const { failed, text } = await report({ address: { command } })
  expect(failed).toEqual([RULES.program.title])
  expect(text).toContain(seen)
})

test.concurrent('--trace prints each frame; --no-writes makes none of write', async () => {
  const { text, failed } = await check({}, { trace: true, writes: false })
  expect(failed).toEqual([])
  expect(text).toMatch(
    /→ hello version 5, flags 0, session 0x[0-9a-f]+, received 0, now 1000000000\n.*← welcome version 5/,
  )
  expect(text).not.toMatch(/→ write/)
})
