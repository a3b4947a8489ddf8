// Aborts decoded and completed, against a function call that makes the same access to the same array.
import { abortLoop } from '../test/support/plain-device.ts'

const COUNT = 2000

/** The best of many short rounds, each shorter than a time slice of the host's scheduler: other load does not count. */
function nanoseconds(rounds: number, once: () => void): number {
  let best = Infinity
  for (let round = 0; round < rounds; round++) {
    const start = performance.now()
    for (let i = 0; i < COUNT; i++) once()
    best = Math.min(best, ((performance.now() - start) * 1e6) / COUNT)
  }
  return best
}

const registers = new Uint32Array(1024)
const x = new Uint32Array(62)

// As a device model would have it: by address and size, not inlined into the loop.
const models: ((address: number, size: number) => number)[] = [
  (address, size) => (size === 4 ? (registers[(address & 0xfff) >>> 2] as number) : 0),
  (address, size) => (registers[(address & 0xfff) >>> 2] as number) & (2 ** (8 * size) - 1),
]

export function run(): void {
  let turn = 0
  const bare = nanoseconds(1000, () => {
    const model = models[turn & 1] as (typeof models)[0]
    turn = (turn + 1) | 0
    x[2] = model(0x1000_0040, 4)
  })
  for (const [what, write, valid] of [
    ['load, valid syndrome', false, true],
    ['store, valid syndrome', true, true],
    ['load, ISV=0: fetched through stage 1 and decoded', false, false],
    ['store, ISV=0', true, false],
  ] as const) {
    const time = nanoseconds(500, abortLoop(write, valid))
    console.log(
      `arm-mmio: ${(bare / time).toFixed(4)} x bare call (${what}: ${time.toFixed(0)} ns, ` +
        `${(1000 / time).toFixed(2)} million aborts a second; the call ${bare.toFixed(1)} ns)`,
    )
  }
}
