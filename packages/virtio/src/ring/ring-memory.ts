import { type DeviceDma, DeviceError, type WritableGuestMapping } from '@retrap/device'

/** Guest-physical addresses have at most 52 bits. */
const ADDRESS_END = 2 ** 52
const TRIES = 8

/** Word for the fence, never read. */
const fenceWord = new Int32Array(1)

/** Orders this thread's accesses before and after: the driver may run on another thread. */
export function fence(): void {
  Atomics.add(fenceWord, 0, 0)
}

/** Guest memory as a ring needs it: 16-bit words that another thread may write meanwhile, and plain bytes. */
export class RingMemory {
  readonly #dma: DeviceDma
  readonly #allowed: () => boolean
  readonly #word = new Uint8Array(2)

  /** @param allowed - whether the device may reach memory now: a PCI function's bus master bit */
  constructor(dma: DeviceDma, allowed: () => boolean) {
    this.#dma = dma
    this.#allowed = allowed
  }

  /** Whether the device may reach memory now. Where it may not, nothing is read or written. */
  get allowed(): boolean {
    return this.#allowed()
  }

  #reaches(gpa: number, bytes: number): boolean {
    return gpa >= 0 && gpa + bytes <= ADDRESS_END && this.allowed
  }

  /** Copies out. @returns false where a byte is not RAM */
  read(gpa: number, into: Uint8Array): boolean {
    return this.#reaches(gpa, into.length) && this.#dma.read(gpa, into)
  }

  /** Copies in. @returns false where a byte is not RAM */
  write(gpa: number, from: Uint8Array): boolean {
    return this.#reaches(gpa, from.length) && this.#dma.write(gpa, from)
  }

  /**
   * Reads a 16-bit word.
   *
   * A copy may be made byte by byte while another thread writes the word. So it is made again until two copies agree.
   *
   * @returns −1 outside RAM
   */
  read16(gpa: number): number {
    const word = this.#word
    let before = -1
    for (let tries = 0; tries < TRIES; tries++) {
      if (!this.read(gpa, word)) return -1
      const value = word[0]! | (word[1]! << 8)
      if (value === before) break
      before = value
    }
    return before
  }

  /**
   * Publishes a 16-bit word at an even address: other threads see it whole, and after all earlier writes.
   */
  publish16(gpa: number, value: number): boolean {
    fence()
    const mapping = this.#hold(gpa)
    if (mapping !== null) {
      const [segment] = mapping.segments
      if (segment?.kind === 'ram' && segment.bytes !== null) {
        Atomics.store(new Uint16Array(segment.bytes.buffer, segment.bytes.byteOffset, 1), 0, value)
        mapping.release()
        fence()
        return true
      }
      mapping.release()
    }
    this.#word[0] = value
    this.#word[1] = value >>> 8
    return this.write(gpa, this.#word)
  }

  /** Two bytes for writing; null where guest memory is out of reach for that. */
  #hold(gpa: number): WritableGuestMapping | null {
    if (gpa % 2 !== 0 || !this.#reaches(gpa, 2)) return null
    try {
      return this.#dma.mapForWriting(gpa, 2)
    } catch (error) {
      // The machine is in another process, which writes the word itself, atomically.
      if (error instanceof DeviceError && error.code === 'ERR_PERMISSION') return null
      throw error
    }
  }
}
