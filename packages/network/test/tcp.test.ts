import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../src/frames/tcp.ts'
import { End, TcpPair } from './support/tcp-pair.ts'

const bytes = (length: number, seed = 1): Uint8Array => {
  let state = seed
  return Uint8Array.from({ length }, () => (state = (state * 1_103_515_245 + 12_345) >>> 0) >>> 16)
}
const equal = (received: readonly number[], sent: Uint8Array): boolean =>
  received.length === sent.length && received.every((byte, i) => byte === sent[i])

describe('a connection (RFC 9293)', () => {
  test('carries both streams and their ends, and waits for late segments at one end only', () => {
    const [there, back] = [bytes(300_000), bytes(200_000, 2)]
    const pair = new TcpPair(new End(there), new End(back))
    pair.run()
    expect(equal(pair.right.received, there) && equal(pair.left.received, back)).toBe(true)
    expect([pair.left.ended, pair.right.ended, pair.left.sawEnd, pair.right.sawEnd]).toEqual([
      'finished',
      'finished',
      true,
      true,
    ])
    expect(pair.clock.now()).toBeGreaterThan(60_000)
    expect(pair.clock.timers).toBe(0)
  })

  test('half closed: the other stream goes on', () => {
    const back = bytes(100_000)
    const right = new End(back, false)
    const pair = new TcpPair(new End(new Uint8Array(0)), right)
    pair.run(1000)
    expect(right.sawEnd).toBe(true)
    expect(equal(pair.left.received, back)).toBe(true)
    expect(pair.left.ended).toBe(null)
    right.connection.end()
    pair.run()
    expect([pair.left.ended, right.ended]).toEqual(['finished', 'finished'])
  })

  test('a reader that stops closes the window, and nothing is lost when it goes on after an hour', () => {
    const data = bytes(2_000_000)
    const right = new End(new Uint8Array(0))
    right.reads = 0
    const pair = new TcpPair(new End(data), right)
    pair.run(3_600_000)
    expect(pair.log.findLast(({ fromLeft }) => !fromLeft)!.segment.window * 16).toBeLessThan(1460)
    expect(pair.left.ended).toBe(null)
    expect(pair.clock.now()).toBeGreaterThan(3_500_000)
    // Probes come at most once a minute by then.
    expect(pair.frames).toBeLessThan(1500)
    right.reads = Infinity
    right.drain()
    pair.run(7_200_000)
    expect(equal(right.received, data)).toBe(true)
  })

  test('a reader that takes a byte at a time opens the window in steps that are worth a segment', () => {
    const right = new End(new Uint8Array(0))
    right.reads = 0
    const pair = new TcpPair(new End(bytes(2_000_000)), right)
    pair.run(5000)
    const before = pair.log.length
    right.reads = 1
    for (let i = 0; i < 4000; i++) {
      right.drain()
      pair.clock.advance(0.1)
    }
    const later = pair.log.slice(before).filter(({ fromLeft }) => !fromLeft)
    const edges = later.map(({ segment }) => segment.acknowledgment + 16 * segment.window)
    const steps = edges.slice(1).map((edge, i) => edge - edges[i]!)
    expect(steps.some((step) => step > 1000)).toBe(true)
    // Windows are told in units of 16 bytes.
    expect(steps.every((step) => Math.abs(step) < 16 || step > 1400)).toBe(true)
  })

  test('a reset ends the other side', () => {
    const pair = new TcpPair(new End(bytes(1000), false), new End(new Uint8Array(0), false))
    pair.run(100)
    pair.left.connection.abort()
    pair.run()
    expect([pair.left.ended, pair.right.ended]).toEqual(['aborted', 'reset'])
  })

  test('a reset that does not fit exactly is answered and not obeyed (RFC 5961 §3)', () => {
    const pair = new TcpPair(new End(bytes(1000), false), new End(new Uint8Array(0), false))
    pair.run(100)
    const last = pair.log.findLast(({ fromLeft }) => fromLeft)!.segment
    const before = pair.log.length
    pair.right.connection.receive({
      ...last,
      payload: new Uint8Array(0),
      sequence: last.sequence + 5000,
      flags: TCP_RST,
    })
    expect(pair.right.ended).toBe(null)
    expect(pair.log.length).toBe(before + 1)
  })

  test('an acknowledgment of what was not sent: a reset while a SYN is answered, an acknowledgment later', () => {
    const pair = new TcpPair(new End(new Uint8Array(0), false), new End(new Uint8Array(0), false))
    // The third segment of the handshake is late.
    pair.fate = (segment, fromLeft) => (fromLeft && (segment.flags & TCP_SYN) === 0 ? [50] : [1])
    pair.run(10)
    const last = pair.log.findLast(({ fromLeft }) => fromLeft)!.segment
    const wrong = { ...last, acknowledgment: (last.acknowledgment + 5) >>> 0 }
    const answers = (): unknown[] => {
      const before = pair.log.length
      pair.right.connection.receive(wrong)
      return pair.log.slice(before).map(({ segment: { flags, sequence } }) => [flags, sequence])
    }
    expect(pair.right.connected).toBe(false)
    expect(answers()).toEqual([[TCP_RST, wrong.acknowledgment]])
    pair.run(2000)
    expect([pair.right.connected, answers()]).toEqual([true, [[TCP_ACK, last.acknowledgment]]])
  })

  test('nobody there: SYN is sent again, further and further apart, then given up', () => {
    const pair = new TcpPair(new End(new Uint8Array(0)), new End(new Uint8Array(0)))
    pair.fate = () => []
    pair.run()
    expect(pair.left.ended).toBe('timeout')
    const times = pair.log
      .filter(({ segment, fromLeft }) => fromLeft && (segment.flags & TCP_SYN) !== 0)
      .map(({ at }) => at)
    expect(times).toEqual([0, 1000, 3000, 7000, 15_000, 31_000, 63_000])
  })

  test('a peer that disappears is noticed', () => {
    const pair = new TcpPair(new End(bytes(50_000), false), new End(new Uint8Array(0), false))
    pair.run(2)
    pair.fate = () => []
    pair.run(7_200_000)
    expect(pair.left.ended).toBe('timeout')
    // The one that only listens asks after two hours (RFC 9293 §3.8.4).
    pair.run(9_000_000)
    expect(pair.right.ended).toBe('timeout')
  })

  test('one lost segment is sent again by fast retransmit, long before the timer', () => {
    const data = bytes(200_000)
    const pair = new TcpPair(new End(data), new End(new Uint8Array(0)))
    let count = 0
    pair.fate = (segment, fromLeft) => (fromLeft && segment.payload.length > 0 && ++count === 20 ? [] : [5])
    pair.run(900)
    expect(equal(pair.right.received, data)).toBe(true)
  })

  test('loss, reordering and duplicates: both streams arrive as they were sent', () => {
    const fates = fc.array(fc.constantFrom([], [1], [1], [1], [1], [30], [2, 9], [1, 250], [400]), {
      minLength: 1,
      maxLength: 60,
    })
    fc.assert(
      fc.property(
        fates,
        fc.nat(120_000),
        fc.nat(60_000),
        fc.nat(0xffff_ffff),
        fc.constantFrom(1, 700, Infinity),
        (list, there, back, initial, reads) => {
          const [left, right] = [new End(bytes(there)), new End(bytes(back, 2))]
          const pair = new TcpPair(left, right, [initial, 0xffff_ffff - (initial >>> 3)])
          let index = 0
          // After some time the network is good.
          pair.fate = () => (pair.clock.now() > 20_000 ? [1] : list[index++ % list.length]!)
          right.reads = reads
          const poll = (): void => {
            if (right.connection !== undefined && right.ended === null) right.drain()
            if (right.ended === null) pair.clock.after(reads === 1 ? 1 : 20, poll)
          }
          if (reads !== Infinity && there < 20_000) poll()
          else right.reads = Infinity
          pair.run(3_600_000, 2_000_000)
          expect(equal(right.received, bytes(there))).toBe(true)
          expect(equal(left.received, bytes(back, 2))).toBe(true)
          expect([left.ended, right.ended]).toEqual(['finished', 'finished'])
          expect(pair.log.some(({ segment }) => (segment.flags & TCP_FIN) !== 0)).toBe(true)
        },
      ),
      {
        numRuns: 40,
        // What was wrong before: segments without data that stood too far back, so that each end refused the other's.
        examples: [
          [[[], [1]], 11_681, 5840, 0, 1],
          [[[2, 9], []], 21_901, 13_141, 0, 1],
          [[[], [], [30], [1], [400]], 16_062, 26_280, 0, 1],
        ],
      },
    )
  })
})

describe('a peer that does as it likes', () => {
  /** A connection of ours, open, and what it sends. */
  const open = (window: number) => {
    const pair = new TcpPair(new End(bytes(50_000), false), new End(new Uint8Array(0), false))
    pair.fate = () => []
    const base = { sourcePort: 1002, destinationPort: 1001, sackPermitted: true, windowShift: 0, mss: 1460 }
    const send = (fields: {
      flags: number
      sequence: number
      acknowledgment: number
      window: number
      payload?: Uint8Array
    }) => pair.left.connection.receive({ ...base, payload: new Uint8Array(0), ...fields })
    send({ flags: TCP_SYN | TCP_ACK, sequence: 500, acknowledgment: 1001, window })
    pair.clock.settle()
    return { pair, send }
  }

  test('a window of a few bytes is not filled until it is all that comes', () => {
    const { pair, send } = open(4000)
    const sent = (): number[] =>
      pair.log.filter(({ segment }) => segment.payload.length > 0).map(({ segment }) => segment.payload.length)
    expect(sent()).toEqual([1460, 1460])
    send({ flags: TCP_ACK, sequence: 501, acknowledgment: 1001 + 2920, window: 100 })
    expect(sent().length).toBe(2)
    pair.clock.advance(1500)
    expect(sent().slice(2)).toEqual([1])
    send({ flags: TCP_ACK, sequence: 501, acknowledgment: 1001 + 2920, window: 2000 })
    expect(sent().slice(3)).toEqual([1460])
  })

  test('a window that stays closed is asked after for ever, as long as there is an answer', () => {
    const { pair, send } = open(0)
    for (let minutes = 0; minutes < 100; minutes++) {
      pair.clock.advance(60_000)
      send({ flags: TCP_ACK, sequence: 501, acknowledgment: 1001, window: 0 })
    }
    const probes = pair.log.filter(({ segment }) => segment.payload.length > 0)
    expect(probes.every(({ segment }) => segment.payload.length === 1 && segment.sequence === 1001)).toBe(true)
    expect(probes.length).toBeGreaterThan(95)
    expect(probes.length).toBeLessThan(115)
    expect(pair.left.ended).toBe(null)
    pair.clock.advance(1_200_000)
    expect(pair.left.ended).toBe('timeout')
  })

  test('data beyond the window is not taken, and what was taken before stays as it was', () => {
    const { pair, send } = open(4000)
    const data = Uint8Array.from({ length: 1400 }, (_, i) => i)
    pair.left.reads = 0
    const most = pair.log.at(-1)!.segment.window * 16
    for (let at = 0; at < most + 40_000; at += data.length) {
      send({ flags: TCP_ACK, sequence: 501 + at, acknowledgment: 1001, window: 0, payload: data })
    }
    send({ flags: TCP_ACK, sequence: 501 + 200_000, acknowledgment: 1001, window: 0, payload: data })
    const { acknowledgment, window } = pair.log.at(-1)!.segment
    expect(acknowledgment - 501).toBeLessThan(200_000)
    expect(window).toBeLessThan(100)
    pair.left.reads = Infinity
    pair.left.drain()
    expect(pair.left.received.length).toBe(acknowledgment - 501)
    expect(pair.left.received.every((byte, i) => byte === data[i % 1400])).toBe(true)
  })

  test('later data is named until the gap is filled, the latest run first (RFC 2018)', () => {
    const { pair, send } = open(4000)
    const put = (at: number): void =>
      send({ flags: TCP_ACK, sequence: 501 + at, acknowledgment: 1001, window: 4000, payload: new Uint8Array(100) })
    put(200)
    put(400)
    put(300)
    put(700)
    expect(pair.sacks.slice(-4)).toEqual([
      [[200, 300]],
      [
        [400, 500],
        [200, 300],
      ],
      [[200, 500]],
      [
        [700, 800],
        [200, 500],
      ],
    ])
    put(0)
    put(100)
    expect(pair.log.at(-1)!.segment.acknowledgment).toBe(501 + 500)
    expect(pair.sacks.at(-1)).toEqual([[700, 800]])
  })
})
