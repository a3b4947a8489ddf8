/** What device models answer, whatever their guest has written and whatever their state says. */
import { isDeepStrictEqual } from 'node:util'
import type { DeviceModel, RangeHandler, Word64 } from '@retrap/device'
import { DebugConsole, DebugExit, PciTestDevice } from '@retrap/devices'
import { numbers } from '@retrap/tooling/random'
import { sliced, slicedSeed } from '@retrap/tooling/slice'
import { VirtioRng } from '@retrap/virtio'
import { MemoryShare } from '@retrap/virtio/p9'
import { expect, test } from 'vitest'
import { type ArmMachine, createArmMachine } from '../src/arm/index.ts'
import { createPc, type Pc, type PcOptions } from '../src/index.ts'
import { fullArm, fullPc } from './support/full-machines.ts'
import { objectsWith } from './support/heap.ts'
import { kept } from './support/kept.ts'
import { medium } from './support/media.ts'

/** A claimed range, wherever its BAR is: a `ClaimedRegion` of `@retrap/ioreq`. */
interface Range {
  readonly device: string
  readonly kind: 'port' | 'mmio'
  readonly base: number
  readonly enabled: boolean
  readonly length: number
  readonly handler: RangeHandler
  readonly minimumAccess: number
  readonly maximumAccess: number
}

/** Devices that `fullPc` has not. */
const more = (options: PcOptions): PcOptions => ({
  ...options,
  devices: [new PciTestDevice(), new DebugExit(), new DebugConsole({ stream: { send() {} } })],
  virtio: [
    ...(options.virtio ?? []),
    { kind: 'share', share: new MemoryShare(), tag: 'files' },
    { kind: 'vsock', cid: 3 },
    { kind: 'mouse' },
  ],
})

const BOARDS: Record<string, () => Promise<ArmMachine | Pc>> = {
  'pc with Xen': () => createPc({ ...fullPc('pc'), hypervisor: 'xen' }),
  'q35 with flash': () => {
    const flash = [{ medium: medium(new Uint8Array(1 << 16).fill(0xf4)) }, { medium: medium(new Uint8Array(1 << 16)) }]
    return createPc(more({ ...fullPc('q35'), firmware: undefined, flash }))
  },
  virt: () =>
    createArmMachine({ ...fullArm(), virtioMmio: [new VirtioRng({ random: () => 0xffff_ffff })], vga: 'ramfb' }),
}

/** Halves of addresses and lengths: 0, ends of pages, and what makes 2^31, 2^32, 2^52 and 2^63 of them. */
const WORDS = [0, 1, 0xfff, 0x1000, 0xffff, 0x10_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff] as const

/** Largest numbers of fields that were seen to have more than 32 bits. */
const WIDE = [2 ** 32, 2 ** 52, 2 ** 63] as const

/** Places of a range that are accessed: all of a small one; the begin of a large one, and some later ones. */
function* offsetsOf({ length, minimumAccess }: Range): Generator<number, void, undefined> {
  for (let at = 0; at < length; at += at < 0x500 ? minimumAccess : 4092 + minimumAccess) yield at
}

/** Answers as `RangeHandler` may give them. */
const isWord = (value: unknown): boolean =>
  typeof value === 'number' && ((value | 0) === value || value >>> 0 === value)

/** The paths to numbers, flags and bytes of a state; of long arrays, as of a ROM's bytes, some. */
function* leavesOf(value: unknown, path: readonly string[] = []): Generator<readonly string[], void, undefined> {
  if (typeof value === 'number' || typeof value === 'boolean' || ArrayBuffer.isView(value)) yield path
  else if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    const step = Math.ceil(entries.length / 16)
    for (const [i, [name, each]] of entries.entries())
      if (i % step === 0 && name !== 'version') yield* leavesOf(each, [...path, name])
  }
}

const at = (state: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((value, name) => (value as Record<string, unknown>)[name], state)

/** Puts what is at a path to its largest. */
function raise(state: unknown, path: readonly string[], most: number): void {
  const holder = at(state, path.slice(0, -1)) as Record<string, unknown>
  const old = holder[path.at(-1)!]
  if (ArrayBuffer.isView(old)) new Uint8Array(old.buffer, old.byteOffset, old.byteLength).fill(0xff)
  else holder[path.at(-1)!] = typeof old === 'boolean' ? true : most
}

/** The registers of one model, and what was wrong with them. */
class Registers {
  readonly bad = new Set<string>()
  readonly ranges: readonly Range[]
  readonly #below = numbers(slicedSeed(56))

  constructor(ranges: readonly Range[]) {
    this.ranges = ranges
  }

  #word(): number {
    return WORDS[this.#below(WORDS.length)]!
  }

  /** Accesses one. @param why - for the message */
  #access(range: Range, offset: number, size: number, isRead: boolean, why: string): void {
    const { handler, device, kind, base } = range
    let answer: unknown
    try {
      const into: Word64 = { lo: 0, hi: 0 }
      if (!isRead && size === 8) void handler.write64!(offset, this.#word(), this.#word())
      else if (!isRead) void handler.write(offset, size as 4, (this.#word() & (2 ** (8 * size) - 1)) >>> 0)
      else if (size < 8) answer = handler.read(offset, size as 4)
      else void handler.read64!(offset, into)
      if (!isRead || (size < 8 ? isWord(answer) : isWord(into.lo) && isWord(into.hi))) return
      if (size === 8) answer = `${into.hi} and ${into.lo}`
    } catch (error) {
      answer = error
    }
    const what = isRead ? 'read' : 'write'
    this.bad.add(
      `${device}: ${what} of ${size} at ${kind} ${base.toString(16)}+${offset.toString(16)} ${why}: ${String(answer)}`,
    )
  }

  /** Reads all. */
  read(why: string): void {
    for (const range of this.ranges)
      for (const offset of offsetsOf(range))
        for (let size = range.minimumAccess; size <= range.maximumAccess; size *= 2)
          if (offset + size <= range.length) this.#access(range, offset, size, true, why)
  }

  /** Writes and reads at random, mostly the first registers of each page. */
  storm(steps: number): void {
    const below = this.#below
    for (let step = 0; step < steps; step++) {
      const range = this.ranges[below(this.ranges.length)]!
      const size = Math.min(range.maximumAccess, range.minimumAccess << below(3))
      const page = 4096 * below(Math.min(range.length >>> 12, 1 + 3 * below(2)))
      const offset = (page + below(Math.min(range.length, 64 << (2 * below(2))))) & -size
      if (offset + size <= range.length) this.#access(range, offset, size, below(4) === 0, 'in a storm')
    }
  }
}

test.each(sliced(Object.keys(BOARDS), 3))('device models of a %s answer with words', async (board) => {
  const machine = kept(await BOARDS[board]!())
  // The heap has V8's models of literals as well. A field of theirs that was never set has a type, and to read one of it ends the process.
  const isRange = ({ handler, device, minimumAccess }: Partial<Range>): boolean =>
    typeof minimumAccess === 'number' &&
    typeof device === 'string' &&
    device !== '' &&
    typeof handler === 'object' &&
    typeof handler.read === 'function'
  // One search of the heap for both: it takes longest.
  const found = objectsWith<Range & DeviceModel>((each) => isRange(each) || typeof each.attach === 'function')
  const byDevice = Map.groupBy<string, Range>(found.filter(isRange), ({ device }) => device)
  const models = found.filter((each) => typeof each.attach === 'function' && byDevice.has(each.name))
  const all = [...byDevice].map(([name, ranges]) => ({
    registers: new Registers(ranges),
    // A virtio device has its transport's name.
    own: models.filter((each) => each.name === name),
  }))
  // Names of fields that may have more than 32 bits: those of a virtio queue, and others that are seen with more.
  const wide = new Set(['descriptors', 'driver', 'device'])
  for (const { registers, own } of all) {
    let states: [name: string, state: unknown, copy: unknown][] = []
    for (let storm = 0; storm <= 30; storm++) {
      for (const [name, state, copy] of states)
        if (!isDeepStrictEqual(state, copy))
          registers.bad.add(`${name}: a state that was saved or restored has changed`)
      states = []
      for (const model of own) {
        const state = model.save?.()
        for (const path of leavesOf(state)) if (Number(at(state, path)) > 0xffff_ffff) wide.add(path.at(-1)!)
        void model.reset?.()
        if (storm % 3 !== 0) continue
        const back = structuredClone(state)
        await model.restore?.(back)
        const saved = model.save?.()
        states.push([model.name, back, state], [model.name, saved, structuredClone(saved)])
      }
      registers.storm(60)
      if (storm % 10 === 0) registers.read('after a storm')
    }
    for (const model of own) void model.reset?.()
  }
  const pairs = all.flatMap(({ registers, own }) => own.map((model) => [registers, model] as const))
  // Not as many parts as there are boards, so that each model of each board is in some slice.
  for (const [registers, model] of sliced(
    pairs.toSorted(([, a], [, b]) => (a.name < b.name ? -1 : 1)),
    4,
  )) {
    if (model.save === undefined || model.restore === undefined) continue
    const state = await model.save()
    const paths = [...leavesOf(state)]
    const flags = paths.filter((path) => typeof at(state, path) === 'boolean')
    for (const path of [...paths, ...flags.slice(0, 1)]) {
      for (const most of wide.has(path.at(-1)!) ? WIDE : [0xffff_ffff]) {
        for (const others of [[], flags]) {
          const changed = structuredClone(state)
          for (const each of [path, ...others]) raise(changed, each, most)
          try {
            await model.restore(changed)
          } catch {
            // It does not accept the state; some of it may be there.
          }
          registers.read(`with ${path.join('.')} ${most.toString(16)}${others.length > 0 ? ' and all flags' : ''}`)
        }
      }
    }
    await model.restore(state)
  }
  const { functions } = machine.domain.devices
  const below = numbers(slicedSeed(57))
  for (let step = 0; step < 20_000; step++) {
    const size = 1 << below(3)
    const [requester, register] = [below(256), below(256) & -size]
    functions.write(requester, register, size, (WORDS[below(WORDS.length)]! & (2 ** (8 * size) - 1)) >>> 0)
    if (!isWord(functions.read(requester, register, size)))
      expect.fail(`configuration register ${register} of ${requester}`)
  }
  expect(all.flatMap(({ registers }) => [...registers.bad])).toEqual([])
})
