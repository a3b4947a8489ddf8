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
    const platform = this.#platform
    switch (frame.kind) {
      case 'openLine':
        this.#lines.set(frame.line, platform.interruptLine(frame.irq))
        return true
      case 'openPin':
        this.#lines.set(frame.line, platform.pciInterrupt?.(frame.device, frame.pin) ?? NO_WIRE)
        return true
      case 'setLine':
        this.#line(frame.line).set(frame.level)
        return true
      case 'pulseLine':
        this.#line(frame.line).pulse()
        return true
      case 'msi':
        platform.signalMsi(frame.address, frame.data, frame.requester & 0xffff)
        return true
      case 'armTimer':
        this.#arm(frame.timer, frame.deadline)
        return true
      case 'dmaRead':
        this.#dmaRead(frame)
        return true
      case 'dmaWrite': {
        const ok = (this.#options.memory ?? platform.dma).write(frame.gpa, frame.bytes)
        if (frame.call !== 0) this.#options.send({ kind: 'dmaDone', call: frame.call, ok, bytes: new Uint8Array(0) })
        return true
      }
      case 'modified':
        checkFrames(frame, 'were modified')
        platform.modifiedMemory?.(frame.gfn, frame.count)
        return true
      case 'writing':
        checkFrames(frame, 'are to be written')
        platform.writingMemory?.(frame.gfn, frame.count)
        this.#options.send({ kind: 'dmaDone', call: frame.call, ok: true, bytes: new Uint8Array(0) })
        return true
      case 'powerOff':
        platform.powerOff()
        return true
      case 'resetMachine':
        platform.reset()
        return true
      case 'exit':
        platform.exit(frame.code)
        return true
      default:
        return false
    }
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
