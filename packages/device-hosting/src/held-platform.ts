import type { DeviceMemory, InterruptLine, Timer, Word64 } from '@retrap/device'
import { IoreqError } from '@retrap/ioreq'
import { type Frame, MAX_DMA_BYTES, timeOf } from './frames.ts'
import type { DevicePlatform } from './platform.ts'

/** Guest-physical addresses have at most 52 bits. */
const MAX_GFN = 2 ** 40
const NO_WIRE: InterruptLine = { set() {}, pulse() {} }

/** The parts that a {@link HeldPlatform} acts on. */
export interface HeldPlatformOptions {
  readonly platform: DevicePlatform
  /** The models' way to guest memory; null: by `platform.dma`. */
  readonly memory: DeviceMemory | null
  /** Sends a frame to the models. */
  send(frame: Frame): void
  /** Called before a frame is sent whose effects no vCPU waits for. */
  busy(): void
  /** Puts data of writes still to come over data that was read; see `ServerGate.overlay`. */
  overlay(gpa: number, bytes: Uint8Array): void
}

/** Interrupt lines, timers and DMA of models that live elsewhere: the machine's side. Whatever comes is checked. */
export class HeldPlatform {
  readonly #options: HeldPlatformOptions
  readonly #platform: DevicePlatform
  readonly #lines = new Map<number, InterruptLine>()
  readonly #timers = new Map<number, Timer>()

  constructor(options: HeldPlatformOptions) {
    this.#options = options
    this.#platform = options.platform
  }

  /**
   * Takes a frame about the machine.
   *
   * @returns false for any other frame
   * @throws IoreqError `ERR_PROTOCOL` for a frame that a device server may not send
   */
  take(frame: Frame): boolean {
    const act = HeldPlatform.#ACTIONS[frame.kind] as ((held: HeldPlatform, frame: Frame) => void) | undefined
    act?.(this, frame)
    return act !== undefined
  }

  static readonly #ACTIONS: {
    readonly [Kind in Frame['kind']]?: (held: HeldPlatform, frame: Extract<Frame, { kind: Kind }>) => void
  } = {
    openLine: (held, { line, irq }) => held.#lines.set(line, held.#platform.interruptLine(irq)),
    openPin: (held, { line, device, pin }) =>
      held.#lines.set(line, held.#platform.pciInterrupt?.(device, pin) ?? NO_WIRE),
    setLine: (held, { line, level }) => held.#line(line).set(level),
    pulseLine: (held, { line }) => held.#line(line).pulse(),
    msi: (held, { address, data, requester }) => held.#platform.signalMsi(address, data, requester & 0xffff),
    armTimer: (held, { timer, deadline }) => held.#arm(timer, deadline),
    dmaRead: (held, frame) => held.#dmaRead(frame),
    dmaWrite: (held, { call, gpa, bytes }) => {
      const ok = (held.#options.memory ?? held.#platform.dma).write(gpa, bytes)
      if (call !== 0) held.#options.send({ kind: 'dmaDone', call, ok, bytes: new Uint8Array(0) })
    },
    modified: (held, frame) => {
      checkFrames(frame, 'were modified')
      held.#platform.modifiedMemory?.(frame.gfn, frame.count)
    },
    writing: (held, frame) => {
      checkFrames(frame, 'are to be written')
      held.#platform.writingMemory?.(frame.gfn, frame.count)
      held.#options.send({ kind: 'dmaDone', call: frame.call, ok: true, bytes: new Uint8Array(0) })
    },
    powerOff: (held) => held.#platform.powerOff(),
    resetMachine: (held) => held.#platform.reset(),
    exit: (held, { code }) => held.#platform.exit(code),
  }

  #line(number: number): InterruptLine {
    const line = this.#lines.get(number)
    if (line === undefined) throw new IoreqError('ERR_PROTOCOL', `interrupt line ${number} has not been opened`)
    return line
  }

  #arm(number: number, deadline: Word64): void {
    let timer = this.#timers.get(number)
    if (timer === undefined) {
      timer = this.#platform.timer((_, { lo, hi }) => {
        this.#options.busy()
        const now = timeOf(this.#platform.clock)
        this.#options.send({ kind: 'timer', timer: number, deadline: { lo, hi }, now })
      })
      this.#timers.set(number, timer)
    }
    timer.armAfter(0, deadline)
    this.#platform.timerArmed?.()
  }

  #dmaRead({ call, gpa, length }: Extract<Frame, { kind: 'dmaRead' }>): void {
    if (length > MAX_DMA_BYTES) {
      throw new IoreqError('ERR_PROTOCOL', `a DMA read of ${length} bytes: expected at most ${MAX_DMA_BYTES}`)
    }
    const bytes = new Uint8Array(length)
    const ok = (this.#options.memory ?? this.#platform.dma).read(gpa, bytes)
    this.#options.overlay(gpa, bytes)
    this.#options.send({ kind: 'dmaDone', call, ok, bytes })
  }

  /** The server has ended: its timers stop, and its lines are released. */
  close(): void {
    for (const timer of this.#timers.values()) timer.cancel()
    for (const line of this.#lines.values()) line.set(false)
  }
}

/** @throws IoreqError `ERR_PROTOCOL` for frames that no guest has */
function checkFrames({ gfn, count }: { readonly gfn: number; readonly count: number }, what: string): void {
  if (Number.isSafeInteger(gfn) && gfn >= 0 && count >= 1 && gfn + count <= MAX_GFN && Number.isInteger(count)) return
  throw new IoreqError('ERR_PROTOCOL', `${count} frames from ${gfn} on ${what}, which there cannot be`)
}
