// Device models that break their contract: wrong answers, wrong arguments, throws, and rejections of all kinds.
import { defineDevice, type DeviceContext, type DeviceModel, type InterruptLine, type Timer } from '@retrap/device'
import type { Rng } from '@retrap/tooling/soak'

/** What a read handler answers instead of a number. */
const ANSWERS: Readonly<Record<string, () => unknown>> = {
  seven: () => 7,
  NaN: () => Number.NaN,
  Infinity: () => Infinity,
  'a negative number': () => -1,
  'a fraction': () => 0.5,
  'more than the size': () => 2 ** 53,
  'a BigInt': () => 7n,
  text: () => '7',
  nothing: () => undefined,
  null: () => null,
  'an object': () => ({ valueOf: () => 7 }),
  'an array': () => [7],
  'a symbol': () => Symbol('7'),
  'a function': () => () => 7,
  'a promise of 7': () => Promise.resolve(7),
  'a promise of NaN': () => Promise.resolve(Number.NaN),
  'a promise of a BigInt': () => Promise.resolve(7n),
  'a promise of a promise': () => Promise.resolve(Promise.resolve(7)),
  'a late promise': () => new Promise((resolve) => setTimeout(resolve, 3, 7)),
  'a promise for ever': () => new Promise(() => undefined),
  'a rejection': () => Promise.reject(new Error('rejected')),
  'a rejection with nothing': () => Promise.reject(),
  // oxlint-disable-next-line unicorn/no-thenable -- a liar's
  'a thenable that calls back twice': () => ({ then: (done: (value: number) => void) => (done(7), done(8)) }),
  'a thenable that throws': () => ({
    // oxlint-disable-next-line unicorn/no-thenable -- a liar's
    get then() {
      throw new Error('then')
    },
  }),
  'an error': () => {
    throw new Error('thrown')
  },
  'a throw of nothing': () => {
    throw undefined
  },
  'a throw of null': () => {
    throw null
  },
  'an error without words': () => {
    throw Object.create(null)
  },
}

/** What a handler does beside. */
const DEEDS: Readonly<Record<string, (world: World) => unknown>> = {
  nothing: () => undefined,
  'arms for NaN': ({ timer }) => timer.arm(Number.NaN),
  'arms for before all time': ({ timer }) => timer.arm(-Infinity),
  'arms again and again': ({ timer }) => {
    for (let i = 0; i < 100; i++) timer.arm(i)
  },
  'floods with MSIs': ({ context }) => {
    for (let i = 0; i < 100; i++) context.signalMsi(0xfee0_0000 + 4096 * (i % 4), i * 0x101)
  },
  'signals an MSI to NaN': ({ context }) => context.signalMsi(Number.NaN, Number.NaN),
  'sets a line to text': ({ line }) => line.set('x' as unknown as boolean),
  'reads past the end of memory': ({ context }) => context.dma.readAsync(2 ** 52 - 2, new Uint8Array(16)),
  'writes at NaN': ({ context }) => context.dma.writeAsync(Number.NaN, new Uint8Array(4)),
  'reads much': ({ context }) => context.dma.readAsync(0, new Uint8Array(3 << 19)),
  'owns too much': ({ context }) => context.ownMemory({ name: 'much', bytes: 2 ** 40 }),
  'owns nothing': ({ context }) => context.ownMemory({ name: 'none', bytes: 0 }),
  'shows memory twice': ({ context }) => {
    const memory = context.ownMemory({ name: 'twice', bytes: 8192 })
    context.mapMemory(0xb_0000, memory)
    context.mapMemory(0xb_1000, memory)
    memory.read(0, new Uint8Array(1))
  },
  'maps what it has': ({ context }) => context.mapPorts(0x120, 16, { read: () => 1, write: () => undefined }),
  'exits with nonsense': ({ context }) => context.requestExit(Number.NaN),
}

interface World {
  readonly context: DeviceContext
  readonly timer: Timer
  readonly line: InterruptLine
}

/** Draws a model with 64 ports from 100H on and a page of memory from A0000H on; the next has those behind. */
export function drawModel(rng: Rng, index: number): { readonly model: DeviceModel; readonly text: string } {
  const answers = Array.from({ length: rng.between(1, 6) }, () => rng.pick(Object.keys(ANSWERS)))
  const deeds = Array.from({ length: rng.between(1, 4) }, () => rng.pick(Object.keys(DEEDS)))
  const writes = rng.pick(Object.keys(ANSWERS))
  const [synchronous, inTimer, inReset] = [rng.chance(), rng.chance(1, 4), rng.chance(1, 8)]
  let world: World | undefined
  let reads = 0
  const act = (i: number): unknown => (world === undefined ? undefined : DEEDS[deeds[i % deeds.length] ?? '']?.(world))
  const model = defineDevice({
    name: `liar ${index}`,
    synchronous,
    ports: { base: 0x100 + 64 * index, size: 64 },
    mmio: { base: 0xa_0000 + 0x1000 * index, size: 0x1000 },
    read(): number | Promise<number> {
      const i = reads++
      const answer = ANSWERS[answers[i % answers.length] ?? '']
      const deed = act(i)
      if (!(deed instanceof Promise)) return answer?.() as number
      return deed.then(() => answer?.() as number)
    },
    write(): void | Promise<void> {
      return ANSWERS[writes]?.() as undefined
    },
    reset: () => (inReset ? (ANSWERS[writes]?.() as undefined) : undefined),
    save: () => ANSWERS[writes]?.(),
    restore: () => undefined,
    attach(context) {
      const timer = context.timer(() => {
        // A promise that a model leaves alone is its own affair.
        if (inTimer) void Promise.resolve(act(0)).catch(() => undefined)
      })
      world = { context, timer, line: context.interruptLine(5) }
      timer.arm(1e6)
    },
  })
  const text = `${answers.join(', ')}; ${deeds.join(', ')}; writes: ${writes}${synchronous ? '; synchronous' : ''}`
  return { model, text }
}
