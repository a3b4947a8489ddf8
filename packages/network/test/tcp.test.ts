import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TCP_FIN, TCP_RST, TCP_SYN } from '../src/frames/tcp.ts'
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
    const data = bytes(400_000)
    const right = new End(new Uint8Array(0))
    right.reads = 0
    const pair = new TcpPair(new End(data), right)
    pair.run(3_600_000)
    expect(pair.left.ended).toBe(null)
    expect(pair.clock.now()).toBeGreaterThan(3_500_000)
    // Probes come at most once a minute by then.
    expect(pair.frames).toBeLessThan(400)
    right.reads = Infinity
    right.drain()
    pair.run(7_200_000)
    expect(equal(right.received, data)).toBe(true)
  })

  test('a reader that takes a byte at a time causes no silly windows', () => {
    const data = bytes(100_000)
    const right = new End(new Uint8Array(0))
    right.reads = 0
    const pair = new TcpPair(new End(data), right)
    pair.run(5000)
    const before = pair.log.length
    right.reads = 1
    for (let i = 0; i < 4000; i++) {
      right.drain()
      pair.clock.advance(0.1)
    }
    const small = pair.log.slice(before).filter(({ segment }) => segment.payload.length > 1)
    expect(small.every(({ segment }) => segment.payload.length >= 1000)).toBe(true)
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
      { numRuns: 40 },
    )
  })
})
