import { defineDevice, Instant, type DeviceContext, type DeviceModel, type Timer, type Word64 } from '@retrap/device'

/** A value to read; a write asks for DMA and an interrupt. The guest waits. */
export const JITTER_PORT = 0x80
/** A write asks for the same, and nobody waits. */
export const JITTER_BUFFERED = 0x90
/** Where the model's DMA goes: a word for each kind. */
export const JITTER_MEMORY = 0x6000
export const JITTER_VECTOR = 0x40

/** Lets the host take its time: none, promises, turns of the event loop, or milliseconds. */
async function pause(): Promise<void> {
  const kind = Math.random()
  if (kind < 0.3) return
  if (kind < 0.6) for (let i = Math.random() * 6; i > 0; i--) await Promise.resolve()
  else if (kind < 0.95)
    for (let i = Math.random() * 6; i > 0; i--) await new Promise((resolve) => setImmediate(resolve))
  else await new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
}

/** Where the model is, and what it interrupts with. */
export interface JitterPlace {
  /** Registers in memory, {@link JITTER_BUFFERED_MMIO} the one that nobody waits for; default ports. */
  readonly mmio?: number
  /** Where its DMA goes. */
  readonly memory: number
  readonly interrupt: (context: DeviceContext) => void
}

/** Offset of the register in memory whose writes nobody waits for. */
export const JITTER_BUFFERED_MMIO = 8

const PC: JitterPlace = { memory: JITTER_MEMORY, interrupt: (context) => context.signalMsi(0xfee0_0000, JITTER_VECTOR) }

export function jitterDevice({ mmio, memory, interrupt }: JitterPlace = PC): DeviceModel {
  let context: DeviceContext
  let timer: Timer
  let sum = 0
  const now = new Instant()
  /** Reads a word of the guest's memory, changes it, and interrupts. */
  const act = async (at: number, value: number): Promise<void> => {
    const bytes = new Uint8Array(8)
    const view = new DataView(bytes.buffer)
    await pause()
    await context.dma.readAsync(memory + at, bytes)
    view.setUint32(0, Math.imul(view.getUint32(0, true), 31) + value, true)
    context.clock.read(now)
    view.setUint32(4, now.lo, true)
    await pause()
    await context.dma.writeAsync(memory + at, bytes)
    sum = (Math.imul(sum, 17) + value) >>> 0
    await pause()
    interrupt(context)
  }
  const buffered = { buffered: true, write: (_offset: number, _size: number, value: number) => act(8, value) } as const
  return defineDevice({
    name: 'jitter',
    ...(mmio === undefined
      ? {
          ports: [
            { base: JITTER_PORT, size: 1 },
            { base: JITTER_BUFFERED, size: 1, ...buffered },
          ],
        }
      : {
          mmio: [
            { base: mmio, size: JITTER_BUFFERED_MMIO },
            { base: mmio + JITTER_BUFFERED_MMIO, size: 4, ...buffered },
          ],
        }),
    attach(given) {
      context = given
      timer = given.timer(() => act(16, 1))
    },
    async read() {
      await pause()
      sum = (Math.imul(sum, 5) + 1) >>> 0
      return sum & 0xff
    },
    async write(_offset, _size, value) {
      timer.armAfter(500 + 20 * value)
      await act(0, value)
    },
    save: () => {
      const at = new Instant()
      return { sum, armed: timer.readDeadline(at) ? at.save() : null }
    },
    restore(saved) {
      const state = saved as { readonly sum: number; readonly armed: Word64 | null }
      sum = state.sum
      if (state.armed !== null) timer.armAfter(0, state.armed)
    },
  })
}

/** For a Worker or a process, which imports this module. */
export const jitter: DeviceModel = jitterDevice()
