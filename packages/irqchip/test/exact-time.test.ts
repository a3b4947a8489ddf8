/** The local APIC's timer at times that a number of nanoseconds does not hold. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { APIC_EOI, APIC_LVT_TIMER, APIC_TDCR, APIC_TMCCT, APIC_TMICT } from '../src/index.ts'
import { Ratio } from '../src/time.ts'
import { makeFabric } from './machine.ts'

const PERIODIC = 0x2_0030
const DEADLINE = 0x4_0031
const STARTS = [0n, 2n ** 53n - 1n, 2n ** 53n - 1_000_000_000n, 2n ** 53n + 1n, 2n ** 62n - 1n, 2n ** 63n + 12_345n]
const RATES = [1_000_000_000, 100_000_000, 24_000_000, 33_333_333, 66_666_667, 1_193_182, 8_589_934_591]
/** Divide-configuration register by the divisor. */
const DIVIDERS = new Map([
  [1, 0xb],
  [2, 0],
  [16, 3],
  [128, 0xa],
])

const ceil = (a: bigint, b: bigint): bigint => (a + b - 1n) / b

describe.each(RATES)('a timer of %d Hz', (timerHz) => {
  const hz = BigInt(timerHz)

  test.each(STARTS)('expires at exact instants from %d ns on', (start) => {
    for (const [divisor, code] of DIVIDERS) {
      for (const initial of [1, 7, 1000, 123_457]) {
        const { apic, queue } = makeFabric({ timerHz })
        queue.time = start
        apic.write(APIC_TDCR, code)
        apic.write(APIC_LVT_TIMER, PERIODIC)
        apic.write(APIC_TMICT, initial)
        const period = BigInt(initial) * BigInt(divisor) * 1_000_000_000n
        // The queue looks at every nanosecond at which a period has ended: several may end in one.
        let ended = 0n
        for (let k = 0; k < 50; k++) {
          const due = ceil((ended + 1n) * period, hz)
          expect(queue.nextExact).toBe(start + due)
          queue.time = start + due
          queue.advance(0)
          expect(apic.acknowledge()).toBe(0x30)
          apic.write(APIC_EOI, 0)
          ended = (due * hz) / period
          const counted = ((due * hz) / 1_000_000_000n / BigInt(divisor)) % BigInt(initial)
          expect(apic.read(APIC_TMCCT)).toBe(initial - Number(counted))
        }
      }
    }
  })

  test('is late for many periods, and keeps its phase', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...STARTS),
        fc.integer({ min: 1, max: 0xffff_ffff }),
        // Six days: the ticks of one wait are below 2^53 at any rate.
        fc.array(fc.integer({ min: 0, max: 2 ** 49 }), { maxLength: 6 }),
        (start, initial, waits) => {
          const { apic, queue } = makeFabric({ timerHz })
          queue.time = start
          apic.write(APIC_TDCR, 0xb)
          apic.write(APIC_LVT_TIMER, PERIODIC)
          apic.write(APIC_TMICT, initial)
          let passed = 0n
          for (const wait of waits) {
            passed += BigInt(wait)
            queue.oversleep(wait)
            const ticks = (passed * hz) / 1_000_000_000n
            expect(apic.read(APIC_TMCCT)).toBe(initial - Number(ticks % BigInt(initial)))
            const periods = ticks / BigInt(initial) + 1n
            expect(queue.nextExact).toBe(start + ceil(periods * BigInt(initial) * 1_000_000_000n, hz))
          }
        },
      ),
    )
  })
})

test.each([1_000_000_000, 2_000_000_000, 3_333_333_333, 24_000_000])('a TSC of %d Hz reaches a value', (tscHz) => {
  fc.assert(
    fc.property(fc.bigInt(1n, 2n ** 64n - 1n), (deadline) => {
      const { apic, queue } = makeFabric({ tscHz })
      apic.write(APIC_LVT_TIMER, DEADLINE)
      apic.setTscDeadline(Number(deadline & 0xffff_ffffn), Number(deadline >> 32n))
      const at = ceil(deadline * 1_000_000_000n, BigInt(tscHz))
      expect(queue.nextExact).toBe(at < 2n ** 64n - 1n ? at : -1n)
    }),
  )
})

test.each(STARTS)('a saved timer goes on as it would have, from %d ns on', (start) => {
  const make = (time: bigint) => {
    const made = makeFabric({ timerHz: 33_333_333 })
    made.queue.time = time
    return made
  }
  const a = make(start)
  a.apic.write(APIC_TDCR, 0xb)
  a.apic.write(APIC_LVT_TIMER, PERIODIC)
  a.apic.write(APIC_TMICT, 101)
  a.advance(100_000)
  const b = make(start + 100_000n)
  b.apic.restore(JSON.parse(JSON.stringify(a.apic.save())) as ReturnType<typeof a.apic.save>)
  expect(b.apic.save()).toEqual(a.apic.save())
  for (let i = 0; i < 100; i++) {
    expect(b.queue.nextExact).toBe(a.queue.nextExact)
    for (const { queue } of [a, b]) {
      queue.time = queue.nextExact
      queue.advance(0)
    }
  }
})

test.each([0, 1, 100])('a divider that changes after %d counts keeps the count, and the phase', (counts) => {
  for (const start of STARTS) {
    const { apic, queue } = makeFabric({ timerHz: 33_333_333 })
    queue.time = start
    apic.write(APIC_TDCR, 0xb)
    apic.write(APIC_LVT_TIMER, 0x30)
    apic.write(APIC_TMICT, 1000)
    queue.advance(counts * 30 + 1)
    const left = apic.read(APIC_TMCCT)
    apic.write(APIC_TDCR, 3)
    expect(apic.read(APIC_TMCCT)).toBe(left)
    const ns = queue.exact.toBigInt()
    expect(queue.nextExact).toBe(ns + ceil(BigInt(left) * 16n * 1_000_000_000n, 33_333_333n))
  }
})

test('a ratio is exact', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 33 }),
      fc.integer({ min: 1, max: 2 ** 33 }),
      fc.maxSafeNat(),
      (numerator, denominator, value) => {
        const product = (BigInt(value) * BigInt(numerator)) / BigInt(denominator)
        fc.pre(product < 2n ** 53n)
        const ratio = new Ratio(numerator, denominator)
        expect(BigInt(ratio.of(value))).toBe(product)
        const rest = (BigInt(value) * BigInt(ratio.numerator)) % BigInt(ratio.denominator)
        expect(BigInt(ratio.remainder)).toBe(rest)
      },
    ),
    { numRuns: 2000 },
  )
})
