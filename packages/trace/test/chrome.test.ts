/** Traces in Chrome's format. Source: "Trace Event Format", JSON Array Format. */
import { expect, test } from 'vitest'
import { createIoRequest, type IoTraceEvent } from '@retrap/ioreq'
import { ChromeTrace, parseTrace, Tracer } from '../src/index.ts'
import { tracedPc } from './support/guest.ts'

interface Event {
  readonly name: string
  readonly ph: string
  readonly pid: number
  readonly tid: number
  readonly ts?: number
  readonly dur?: number
  readonly id?: number
  readonly args?: { readonly name?: string; readonly what?: string }
}

/** Runs the guest. @param whole - the file is ended */
async function chromeTrace(specs: readonly string[], whole = true): Promise<string> {
  let text = ''
  const chrome = new ChromeTrace((piece) => (text += piece))
  const tracer = new Tracer(specs.map(parseTrace), (record) => chrome.add(record))
  const pc = await tracedPc({ ...(tracer.access && { trace: tracer.access }) })
  tracer.attach(pc.domain)
  await pc.run({ timeoutMs: 100_000 })
  tracer.detach()
  if (whole) chrome.end()
  pc.close()
  return text
}

/** What each phase of the format must have. */
const FIELDS: Readonly<Record<string, readonly (keyof Event)[]>> = {
  X: ['name', 'pid', 'tid', 'ts', 'dur'],
  i: ['name', 'pid', 'tid', 'ts'],
  s: ['name', 'pid', 'tid', 'ts', 'id'],
  f: ['name', 'pid', 'tid', 'ts', 'id'],
  M: ['name', 'pid', 'tid', 'args'],
}

test('every event has the fields of its phase, spans nest, and arrows join spans', async () => {
  const text = await chromeTrace(['block', 'insn', 'irq', 'exceptions', 'pagewalk', 'ioreq'])
  const events = JSON.parse(text) as Event[]
  for (const event of events) {
    expect(Object.keys(FIELDS)).toContain(event.ph)
    for (const field of FIELDS[event.ph]!) expect(event[field], `${field} of ${JSON.stringify(event)}`).toBeDefined()
    for (const at of [event.ts ?? 0, event.dur ?? 0]) expect(at).toBeGreaterThanOrEqual(0)
  }
  const spans = events.filter(({ ph }) => ph === 'X')
  for (const a of spans) {
    for (const b of spans.filter((other) => other !== a && other.pid === a.pid && other.tid === a.tid)) {
      const apart = a.ts! + a.dur! <= b.ts! || b.ts! + b.dur! <= a.ts!
      const within = (inner: Event, outer: Event): boolean =>
        inner.ts! >= outer.ts! && inner.ts! + inner.dur! <= outer.ts! + outer.dur!
      expect(apart || within(a, b) || within(b, a), `${JSON.stringify(a)} and ${JSON.stringify(b)}`).toBe(true)
    }
  }
  for (const arrow of events.filter(({ ph }) => ph === 's' || ph === 'f'))
    expect(spans.some(({ pid, tid, ts }) => pid === arrow.pid && tid === arrow.tid && ts === arrow.ts)).toBe(true)
  const threads = events.filter(({ ph, name }) => ph === 'M' && name === 'thread_name').map(({ args }) => args?.name)
  expect(threads).toEqual(expect.arrayContaining(['vCPU 0', 'price']))
})

test('the time that a vCPU waits is a span on its thread, and one on the device’s', async () => {
  const events = JSON.parse(await chromeTrace(['ioreq,device=price'])) as Event[]
  const [waits, serves] = events.filter(({ ph }) => ph === 'X')
  expect([waits?.name, serves?.name]).toEqual([
    'waits for price: read of 4 at 0xfed90000',
    'price: read of 4 at 0xfed90000',
  ])
  expect(waits!.dur).toBeGreaterThan(3_900)
  expect([serves!.ts, serves!.dur]).toEqual([waits!.ts, waits!.dur])
  expect(serves!.pid).not.toBe(waits!.pid)
})

test('a file without its end can be read, as the format says', async () => {
  const text = await chromeTrace(['irq', 'exceptions'], false)
  expect((JSON.parse(`${text}]`) as Event[]).length).toBeGreaterThan(3)
})

test('an empty trace is a file, too', async () => expect(JSON.parse(await chromeTrace(['insn,cpl=3']))).toEqual([]))

test.each([
  { event: 'answered', ends: true },
  { event: 'ended', ends: true },
  { event: 'cancelled', ends: true },
  { event: 'done', ends: false },
  { event: 'unhandled', ends: false },
  { event: 'buffered', ends: false },
  { event: 'drained', ends: false },
] satisfies { event: IoTraceEvent; ends: boolean }[])('a wait ends with $event: $ends', ({ event, ends }) => {
  let text = ''
  const chrome = new ChromeTrace((piece) => (text += piece))
  const add = (what: IoTraceEvent, hostMs: number): void => {
    const access = { event: what, vcpu: 1, server: 's', device: 'd', request: createIoRequest(), lo: 0, hi: 0 }
    const place = { vcpu: 1, ns: 0, hostMs, instructions: 0, allInstructions: 0 }
    chrome.add({ kind: 'ioreq', ...place, code: undefined, waitedMs: undefined, access })
  }
  add('sent', 10)
  add(event, 12)
  add('unhandled', 15)
  chrome.end()
  const events = JSON.parse(text) as Event[]
  const spans = events.filter(({ ph }) => ph === 'X')
  // One that nothing ends lasts as long as the trace.
  expect(spans.map(({ ts, dur }) => [ts, dur])).toEqual(
    ends
      ? [
          [0, 2000],
          [0, 2000],
        ]
      : [
          [0, 5000],
          [0, 5000],
        ],
  )
  expect(events.filter(({ ph }) => ph === 'i')).toHaveLength(ends ? 1 : 2)
})
