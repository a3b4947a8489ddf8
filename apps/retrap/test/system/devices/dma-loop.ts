import { defineDevice, type DeviceContext, type DeviceModel, type GuestMapping } from '@retrap/device'

/*
 * A device that copies pages by DMA, turned into something else on the way, and looks at all of the machine's RAM
 * beside it. programs/dma-loop.c drives it.
 */

const BASE = 0xfed9_1000
/** Guest-physical addresses of a page to read and a page to write, in frames; the seed, whose write starts the copy. */
const FROM = 0x00
const TO = 0x04
const SEED = 0x08
/** Pages copied; words that were not what the seed says; runs of RAM looked at; holes in them; runs that lost RAM while held. */
const COUNTERS = 0x20

const PAGE = 0x1000
const WORDS = PAGE / 4
const SWEEP_BYTES = 8 << 20
const SWEEP_NS = 1_000_000
/** Copies are under way for up to so long. */
const LONGEST_NS = 2_000_000
const GOLDEN = 0x9e37_79b1
/** Below it a PC has holes of its own. */
const LEGACY_END = 1 << 20

export interface DmaLoopOptions {
  /** Guest-physical addresses that are looked at. */
  readonly ramBytes?: number
  /** Told of each mapping, when it has been held for a while and before it ends. */
  readonly beforeRelease?: (mapping: GuestMapping) => void
}

export function createDmaLoop(options: DmaLoopOptions = {}): DeviceModel {
  const { ramBytes = 256 << 20, beforeRelease = () => {} } = options
  const registers = new Uint32Array(3)
  const counters = { copied: 0, wrong: 0, swept: 0, holes: 0, orphaned: 0, sum: 0 }
  let context: DeviceContext

  const word = (seed: number, index: number): number => Math.imul((seed + index) | 0, GOLDEN) >>> 0

  function end(mapping: GuestMapping): void {
    beforeRelease(mapping)
    if (mapping.orphaned) counters.orphaned++
    mapping.release()
  }

  /** Holds the page while the copy is under way; reads it at its end. */
  function copy(from: number, to: number, seed: number): void {
    const source = context.dma.map(from * PAGE, PAGE)
    const timer = context.timer(() => {
      const bytes = new Uint8Array(PAGE)
      source.read(0, bytes)
      const words = new Uint32Array(bytes.buffer)
      for (let i = 0; i < WORDS; i++) if (words[i] !== word(seed, i)) counters.wrong++
      end(source)
      for (let i = 0; i < WORDS; i++) words[i] = ~(words[i] as number) ^ i
      // The last word says that all of it is there.
      words[WORDS - 1] = seed
      const target = context.dma.mapForWriting(to * PAGE, PAGE)
      target.write(0, bytes)
      end(target)
      counters.copied++
    })
    timer.arm(context.clock.now() + ((Math.imul(seed, GOLDEN) >>> 0) % LONGEST_NS))
  }

  /** One run of RAM after the other, each held until it is the next one's turn. */
  function sweep(): void {
    let at = 0
    let held: GuestMapping | undefined
    let sum = 0
    const timer = context.timer(() => {
      if (held !== undefined) end(held)
      held = context.dma.map(at, Math.min(SWEEP_BYTES, ramBytes - at))
      counters.swept++
      for (const { bytes, gpa, length } of held.segments) {
        if (bytes === null && gpa >= LEGACY_END) counters.holes++
        if (bytes !== null) for (let i = 0; i < length; i += PAGE) sum += bytes[i] as number
      }
      at = at + SWEEP_BYTES >= ramBytes ? 0 : at + SWEEP_BYTES
      timer.arm(context.clock.now() + SWEEP_NS)
      counters.sum = sum
    })
    timer.arm(context.clock.now() + SWEEP_NS)
  }

  return defineDevice({
    name: 'dma-loop',
    synchronous: true,
    mmio: { base: BASE, size: PAGE },
    attach: (given) => {
      context = given
    },
    read: (offset) => Object.values(counters)[(offset - COUNTERS) / 4] ?? 0,
    write: (offset, _size, value) => {
      registers[offset / 4] = value
      if (offset !== SEED) return
      if (counters.swept === 0) sweep()
      copy(registers[FROM / 4] as number, registers[TO / 4] as number, value)
    },
  })
}

export const dmaLoop: DeviceModel = createDmaLoop()
